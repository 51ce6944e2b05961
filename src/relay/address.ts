/**
 * Which client a request comes from, for counting.
 * Invariant: nothing that a client can send chooses its address: the platform names it, or a proxy that the site says it has.
 */
import { fail } from './given.ts'

const OCTET = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)'
const IPV4 = RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`)

/** `[address]`, with or without a port, as proxies write IPv6. */
const BRACKETS = /^\[([^\]]*)\](?::\d+)?$/

/** What could be IPv6: the URL parser judges it. */
const MAYBE_IPV6 = /^[\da-f:.]+$/i

/** The 8 groups of a canonical IPv6 address such as `2001:db8::1`, in lower-case hex without leading zeros. */
const groupsOf = (canonical: string): string[] => {
  const [head = '', tail] = canonical.split('::').map((half) => half.split(':').filter(Boolean))
  if (tail === undefined) return [...head]
  return [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => '0'), ...tail]
}

const ipv4Of = (groups: readonly string[]): string =>
  groups.slice(-2).flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 255]).join('.')

/**
 * One text for all addresses of one client: IPv4 as it is, IPv6 as its /64 (the smallest network that a subscriber gets: RFC 6177),
 * IPv4-mapped IPv6 as IPv4; brackets, port and zone are cut. Undefined where it is no address.
 */
export const normalizeAddress = (given: string): string | undefined => {
  const text = given.trim()
  const bare = (BRACKETS.exec(text)?.[1] ?? text).replace(/%.*$/, '')
  const withoutPort = bare.replace(/^([\d.]+):\d+$/, '$1')
  if (IPV4.test(withoutPort)) return withoutPort
  const url = `http://[${bare}]`
  if (!MAYBE_IPV6.test(bare) || !URL.canParse(url)) return undefined
  const groups = groupsOf(new URL(url).hostname.slice(1, -1))
  const isMapped = groups.slice(0, 6).join() === '0,0,0,0,0,ffff'
  return isMapped ? ipv4Of(groups) : `${groups.slice(0, 4).join(':')}::/64`
}

/**
 * The client's address, normalized. `platform` is what the runtime says of the connection; `trustProxy` proxies in front append to X-Forwarded-For.
 * The client is then the `trustProxy`-th entry from the right: what stands left of it, anybody can have sent. If that one is no address
 * ("unknown", RFC 7239 §6.2), the next to its right counts. If there are too few entries, some proxy was gone round, and only the last one is
 * surely a proxy's word. Undefined where nobody says an address.
 */
export const clientAddress = (headers: Headers, platform: string | undefined, trustProxy: number): string | undefined => {
  const entries = trustProxy > 0 ? (headers.get('X-Forwarded-For')?.split(',') ?? []) : []
  const trusted = entries.slice(entries.length < trustProxy ? -1 : -trustProxy)
  return [...trusted, platform ?? ''].map(normalizeAddress).find((address) => address !== undefined)
}

/** Throws the one line where `trustProxy` is no number of proxies. */
export const checkTrustProxy = (given: unknown): void => {
  if (Number.isInteger(given) && Number(given) >= 0) return
  fail('trustProxy', given, 'the number of proxies in front of the relay that append to X-Forwarded-For: 0, 1, 2, …')
}
