/**
 * Reads a stream from outside as text.
 * Invariant: holds at most `maxBytes` and one chunk, waits at most `limitMs`, never throws, and leaves no stream half read without cancelling it.
 */

/** What a stream said, or why it could not be read. */
export type Read =
  | { kind: 'text'; text: string }
  /** More than `maxBytes`. */
  | { kind: 'too_large' }
  /** Not complete within `limitMs`. */
  | { kind: 'too_slow' }
  /** Broken off, read by somebody else before, or no UTF-8. */
  | { kind: 'unreadable' }

/** Limits of one read: bytes as they arrive (not characters), and milliseconds for all of it. */
export interface ReadLimits {
  maxBytes: number
  limitMs: number
}

type Reader = ReadableStreamDefaultReader<Uint8Array>

// A stream that cannot even be cancelled has nobody left who would want to know.
const cancel = (reader: Reader): void => void reader.cancel().catch(() => undefined)

const collect = async (reader: Reader, maxBytes: number): Promise<Read> => {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let text = ''
  let bytes = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return { kind: 'text', text: text + decoder.decode() }
    bytes += value.byteLength
    if (bytes > maxBytes) {
      cancel(reader)
      return { kind: 'too_large' }
    }
    text += decoder.decode(value, { stream: true })
  }
}

/** The whole stream as text. Counts the bytes while they come: a Content-Length can lie, and a chunked body has none (honojs/hono#5278). */
export const readText = async (stream: ReadableStream<Uint8Array> | null, limits: ReadLimits): Promise<Read> => {
  if (!stream) return { kind: 'text', text: '' }
  let reader: Reader | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  try {
    const open = stream.getReader()
    reader = open
    const tooSlow = new Promise<Read>((resolve) => {
      timer = setTimeout(() => {
        resolve({ kind: 'too_slow' })
        cancel(open)
      }, limits.limitMs)
    })
    return await Promise.race([collect(open, limits.maxBytes), tooSlow])
  } catch {
    if (reader) cancel(reader)
    return { kind: 'unreadable' }
  } finally {
    clearTimeout(timer)
  }
}
