/**
 * The script-tag bundle as data, so that a relay can serve it where there is no file system: `pristo/relay/tag`.
 * Invariant: made by the build of what the build just made; nothing is compressed or hashed at run time.
 * @module pristo/relay/tag
 */

/** A script, ready to be served. */
export interface Tag {
  /** The script itself. */
  readonly text: string
  /** Its brotli form (quality 11), in base64. */
  readonly brotli: string
  /** Its gzip form (level 9), in base64. */
  readonly gzip: string
  /** A strong entity tag of the text, with its quotes; the encoded forms have theirs made of it. */
  readonly etag: string
  /** For the `integrity` attribute of a page that wants this very script and no later one. */
  readonly integrity: string
}

/** Put here by `build.mjs` (and for unit tests by `vitest.config.ts`). */
declare const PRISTO_TAG: Tag

/** The script-tag bundle of this version, for the relay's option `tag`. */
export const tag: Tag = PRISTO_TAG
