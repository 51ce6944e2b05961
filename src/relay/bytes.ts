/**
 * Reads a stream from outside as text.
 * Invariant: holds at most `maxBytes` and one chunk, waits at most `limitMs`, never throws, and leaves no stream half read without cancelling it
 * (but one without a limit, which whoever opened it ends).
 */

/** What a stream said, or why it could not be read. */
export type Read =
  | { kind: 'text'; text: string }
  /** More than `maxBytes`. */
  | { kind: 'too_large' }
  /** Not complete within `limitMs`. */
  | { kind: 'too_slow' }
  /** Complete, but no UTF-8: what is none of it is `\uFFFD`. */
  | { kind: 'mangled'; text: string }
  /** Broken off, or read by somebody else before. */
  | { kind: 'unreadable' }

/** Limits of one read: bytes as they arrive (not characters), and milliseconds for all of it; absent where somebody else ends it in time. */
export interface ReadLimits {
  maxBytes: number
  limitMs?: number
}

type Reader = ReadableStreamDefaultReader<Uint8Array>

// A stream that cannot even be cancelled has nobody left who would want to know.
const cancel = (reader: Reader): void => void reader.cancel().catch(() => undefined)

/** Without `stream: true` it keeps nothing from one text to the next. */
const utf8 = new TextDecoder('utf-8', { fatal: true })
const lenient = new TextDecoder()

const decode = (bytes: Uint8Array): Read => {
  try {
    return { kind: 'text', text: utf8.decode(bytes) }
  } catch {
    return { kind: 'mangled', text: lenient.decode(bytes) }
  }
}

const collect = async (reader: Reader, maxBytes: number): Promise<Read> => {
  /** The first chunk itself, as most bodies have but one; from the second on a copy of all, so that a body in a thousand pieces weighs no more. */
  let held: Uint8Array = new Uint8Array()
  let bytes = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return decode(held.subarray(0, bytes))
    if (bytes + value.byteLength > maxBytes) {
      cancel(reader)
      return { kind: 'too_large' }
    }
    if (bytes && held.byteLength < maxBytes) {
      const first = held
      held = new Uint8Array(maxBytes)
      held.set(first)
    }
    if (bytes) held.set(value, bytes)
    else held = value
    bytes += value.byteLength
  }
}

/** The whole stream as text. Counts the bytes while they come: a Content-Length can lie, and a chunked body has none (honojs/hono#5278). */
export const readText = async (stream: ReadableStream<Uint8Array> | null, { maxBytes, limitMs }: ReadLimits): Promise<Read> => {
  if (!stream) return { kind: 'text', text: '' }
  let reader: Reader | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  try {
    const open = stream.getReader()
    reader = open
    if (limitMs === undefined) return await collect(open, maxBytes)
    const tooSlow = new Promise<Read>((resolve) => {
      timer = setTimeout(() => {
        resolve({ kind: 'too_slow' })
        cancel(open)
      }, limitMs)
    })
    return await Promise.race([collect(open, maxBytes), tooSlow])
  } catch {
    if (reader) cancel(reader)
    return { kind: 'unreadable' }
  } finally {
    clearTimeout(timer)
  }
}
