/**
 * Where in a page the tag goes, found by Cloudflare's `HTMLRewriter` while the page streams through.
 * Invariant: the tag is put in at most once, where a browser runs it, and no other byte changes.
 */
import { checkNonce, findNonce } from './csp.ts'

/** The part of https://developers.cloudflare.com/workers/runtime-apis/html-rewriter/ that is needed here. */
export interface HtmlRewriter {
  on(selector: string, handlers: { element(element: HtmlElement): void }): HtmlRewriter
  onDocument(handlers: { doctype(): void; end(end: { append: Insert }): void }): HtmlRewriter
  transform(response: Response): Response
}

interface HtmlElement {
  getAttribute(name: string): string | null
  hasAttribute(name: string): boolean
  before: Insert
  onEndTag(handler: (tag: { name: string; before: Insert }) => void): void
}

type Insert = (html: string, options: { html: true }) => unknown

declare const HTMLRewriter: new () => HtmlRewriter

/** Where the tag's script and the relay are, as paths, and what else the tag says. */
export interface TagSettings {
  src: string
  endpoint: string
  attributes: Readonly<Record<string, string>>
}

/** What is known of a page before its first byte. */
export interface PageHead {
  url: string
  /** What its policy asks scripts for. */
  nonce: string | undefined
  /** It becomes a page for sure. Otherwise it must look like one: a piece of a page stays what it is. */
  isPage: boolean
}

/** An attribute's value as the page means it: the rewriter gives it as it is written, and frameworks write `'` and `+` as numbers. */
const readAttribute = (element: HtmlElement, name: string): string | null => {
  const written = element.getAttribute(name)
  if (written === null) return null
  return written
    .replace(/&#(x[\da-f]{1,6}|\d{1,7});?/gi, (_, code: string) => String.fromCharCode(Number(code.replace(/^x/i, '0x'))))
    .replace(/&apos;/g, "'")
    .replace(/&amp;/g, '&')
}

const writeTag = (attributes: Record<string, string>): string => {
  const written = Object.entries(attributes).map(([name, value]) => ` ${name}="${value.replace(/&/g, '&amp;').replace(/"/g, '&quot;')}"`)
  return `<script async${written.join('')}></script>`
}

/**
 * A rewriter for one page: the tag comes before the end of the head, else before the body, else at the end; not where the head has the
 * script already. There all that matters is known: the page's nonce, its `<base>`, and its `<meta charset>` stays in the first 1 024 bytes.
 * The selectors name few elements, since the whole start tag of each must be held.
 */
export const createRewriter = (page: PageHead, { src, endpoint, attributes }: TagSettings): { rewriter: HtmlRewriter; isDone(): boolean } => {
  let { nonce, isPage } = page
  let isDone = false
  /** How many templates are open: nothing in there is part of the page. */
  let templates = 0
  /** Paths are relative to a page's `<base>`, which may name another host. */
  let base = ''

  const put = (place: { before: Insert } | { append: Insert }): void => {
    if (isDone || templates) return
    const html = writeTag({ src: base + src, 'data-endpoint': base + endpoint, ...attributes, ...(nonce && { nonce }) })
    if ('before' in place) place.before(html, { html: true })
    else place.append(html, { html: true })
    isDone = true
  }

  const isOurs = (script: string | null): boolean =>
    script !== null && URL.canParse(script, page.url) && new URL(script, page.url).pathname === src

  const rewriter = new HTMLRewriter()
  const onPart = (selector: string, work: (element: HtmlElement) => void): unknown =>
    rewriter.on(selector, { element: (element) => void (isDone || templates || work(element)) })

  rewriter.onDocument({
    doctype: () => void (isPage = true),
    end: (end) => void (isPage && put(end)),
  })
  onPart('html', (html) => {
    isPage = true
    // AMP allows no scripts but its own: https://amp.dev/documentation/guides-and-tutorials/learn/spec/amphtml/
    isDone = html.hasAttribute('amp') || html.hasAttribute('⚡')
  })
  onPart('head', (head) => {
    isPage = true
    head.onEndTag(put)
  })
  onPart('body, frameset', put)
  onPart('base[href]', () => void (base = new URL(page.url).origin))
  onPart('meta[http-equiv="content-security-policy" i]', (meta) => void (nonce ??= findNonce(readAttribute(meta, 'content'))))
  onPart('script', (script) => {
    nonce ??= checkNonce(readAttribute(script, 'nonce'))
    isDone = isOurs(readAttribute(script, 'src'))
  })
  rewriter.on('template', {
    element: (template) => {
      templates++
      template.onEndTag(({ name }) => {
        if (name === 'template') templates-- // a browser ends it by no other tag
      })
    },
  })
  return { rewriter, isDone: () => isDone }
}
