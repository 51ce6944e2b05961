/**
 * A Worker in front of an existing site: relay and tag on the site's own origin, and all else from the site as it is.
 * Invariant: what is meant for the relay never reaches the site, and no failure of ours keeps a page of the site from its visitor.
 * @module pristo/relay/front
 */
import { clientOf } from './edge.ts'
import { fail } from './given.ts'
import type { Relay, RelayContext } from './index.ts'
import { askReadable, injectTag } from './inject.ts'
import { createScript } from './script.ts'
import type { Tag } from './tag.ts'

/** What the runtime lends for one request; a Cloudflare `ExecutionContext` is one. */
export interface SiteContext extends RelayContext {
  /** Lets the site answer where the Worker throws. */
  passThroughOnException?(): void
}

/** Options of {@link createSiteFront}. */
export interface SiteFrontOptions {
  relay: Relay
  /** The script, as `pristo/relay/tag` has it: served at `path` with `.js` behind it. Default: that path is the site's. */
  tag?: Tag
  /** Of the relay, with and without a slash behind it. Default `/pristo`. */
  path?: string
  /** Put the tag into the site's pages; `attributes` come besides its own. Default false. */
  inject?: boolean | { attributes?: Readonly<Record<string, string>> }
  /** Asks the site. Default `fetch`, which on a Worker's route is the site behind it. */
  origin?: (request: Request) => Promise<Response>
}

/** What the tag needs itself. */
const RESERVED = /^(src|nonce|data-endpoint|async|type|on.*)$/i

const checkAttributes = (inject: SiteFrontOptions['inject']): Readonly<Record<string, string>> => {
  const { attributes = {} } = Object(inject)
  for (const [name, value] of Object.entries(Object(attributes))) {
    const isSound = /^[a-z][\w-]*$/i.test(name) && !RESERVED.test(name) && typeof value === 'string'
    if (!isSound) fail(`inject.attributes.${name}`, value, "a string, and not one of the tag's own attributes or a handler")
  }
  return attributes
}

/**
 * Answers `path` by the relay, `path + '.js'` by the tag, and passes everything else to the site; rejects only where the site does.
 * Throws a TypeError of one line where an option cannot be used.
 */
export const createSiteFront = ({
  relay,
  tag,
  path = '/pristo',
  inject = false,
  origin = (request) => fetch(request),
}: SiteFrontOptions): ((request: Request, context?: SiteContext) => Promise<Response>) => {
  if (typeof relay !== 'function') fail('relay', relay, 'what createRelay() returns')
  if (!/^(\/[\w.~-]+)+$/.test(path)) fail('path', path, 'a path without a trailing slash, such as /pristo')
  const settings = { src: `${path}.js`, endpoint: path, attributes: checkAttributes(inject) }
  const script = tag && createScript(tag)
  const onFailure = (cause: unknown): void => console.error('[pristo] a page could not be rewritten; it passes as it came', cause)

  const injected = (request: Request, response: Response): Response => {
    try {
      return injectTag(request, response, settings, onFailure)
    } catch (cause) {
      onFailure(cause)
      return response
    }
  }

  return async (request, context) => {
    const { pathname } = new URL(request.url)
    if (pathname === path || pathname === `${path}/`) return relay(request, { waitUntil: (promise) => context?.waitUntil?.(promise), address: clientOf(request) })
    if (script && pathname === settings.src) return script(request)
    context?.passThroughOnException?.()
    return inject ? injected(request, await origin(askReadable(request))) : origin(request)
  }
}
