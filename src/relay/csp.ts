/**
 * What a content security policy says about scripts.
 * Invariant: reads, never writes; a nonce that it finds has the grammar of one, so that it can stand in an attribute as it is.
 */

/** https://www.w3.org/TR/CSP3/#grammardef-nonce-source: base64, also its form for URLs. */
const NONCE = /^[\w+/-]+={0,2}$/

/** The nonce if it is one. */
export const checkNonce = (given: string | null): string | undefined => (given !== null && NONCE.test(given) ? given : undefined)

/** The directives of one policy; a second one of the same name is ignored (https://www.w3.org/TR/CSP3/#parse-serialized-policy). */
const parseDirectives = (policy: string): Map<string, string[]> => {
  const directives = new Map<string, string[]>()
  for (const directive of policy.split(';')) {
    const [name = '', ...sources] = directive.trim().split(/\s+/)
    if (!directives.has(name.toLowerCase())) directives.set(name.toLowerCase(), sources)
  }
  return directives
}

/** The nonces that a policy takes from a `<script>`: its most special directive decides alone, even where it names none. */
const noncesIn = (policy: string): string[] => {
  const directives = parseDirectives(policy)
  const sources = directives.get('script-src-elem') ?? directives.get('script-src') ?? directives.get('default-src') ?? []
  return sources.flatMap((source) => checkNonce(/^'nonce-(.*)'$/i.exec(source)?.[1] ?? null) ?? [])
}

/**
 * The nonce that a script of this page needs, by its `Content-Security-Policy` (several are separated by commas, and all of them hold);
 * undefined where none asks for one. Of several it is one that they have in common, if there is any.
 */
export const findNonce = (policies: string | null): string | undefined => {
  const [first = [], ...others] = (policies ?? '').split(',').map(noncesIn).filter(({ length }) => length > 0)
  return first.find((nonce) => others.every((nonces) => nonces.includes(nonce))) ?? first[0]
}
