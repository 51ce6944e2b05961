/**
 * A request's body → a batch, or the refusal that it deserves.
 * Invariant: size, time and form are judged in this order, and nothing looks into an event yet.
 */
import { MAX_BODY_BYTES, MAX_EVENTS } from '../contract.ts'
import { refuse } from './answer.ts'
import { readText } from './bytes.ts'
import { parseJson } from './json.ts'
import { parseEnvelope, type Envelope } from './schema.ts'

/** Reads the body within `limitMs`. Never rejects. */
export const readBatch = async (request: Request, limitMs: number): Promise<Envelope | Response> => {
  const tooLarge = () => refuse(413, 'body_too_large', `more than ${MAX_BODY_BYTES} bytes`)
  // NaN and lies are nothing to rely on: the bytes are counted anyway.
  if (Number(request.headers.get('Content-Length')) > MAX_BODY_BYTES) return tooLarge()
  const body = await readText(request.body, { maxBytes: MAX_BODY_BYTES, limitMs })
  if (body.kind === 'too_large') return tooLarge()
  if (body.kind === 'too_slow') return refuse(408, 'body_too_slow', `the body took over ${limitMs} ms`)
  if (body.kind !== 'text') return refuse(400, 'malformed', 'the body could not be read as UTF-8')
  const json = parseJson(body.text)
  if (json === undefined) return refuse(400, 'malformed', 'the body is not JSON')
  const batch = parseEnvelope(json)
  if (!batch.ok) return refuse(400, 'malformed', batch.reason)
  const { length } = batch.value.events
  return length > MAX_EVENTS ? refuse(413, 'too_many_events', `got ${length} events; allowed are ${MAX_EVENTS}`) : batch.value
}
