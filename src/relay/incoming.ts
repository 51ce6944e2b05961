/**
 * A `node:http` request through the relay: what the doors of Node share.
 * Invariant: never rejects, and never hangs on a body that somebody else has read.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { NodeRequest, sendNodeResponse } from 'srvx/node'
import type { Relay, RelayContext } from './index.ts'

/** What a body parser that ran before left of the body, as the bytes that the relay wants; undefined where nobody has read it yet. */
const parsedBody = (request: IncomingMessage): Buffer | undefined => {
  if (!request.readableEnded || !('body' in request) || request.body === undefined) return undefined
  const { body } = request
  if (Buffer.isBuffer(body)) return body
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
}

/** Answers a request by the relay. A body that a parser has read already counts as that parser left it. */
export const answerIncoming = async (relay: Relay, request: IncomingMessage, response: ServerResponse, context: RelayContext): Promise<void> => {
  const rawBody = parsedBody(request)
  if (rawBody) Object.assign(request, { rawBody }) // srvx reads this, as Google's functions framework sets it
  const answer = await relay(new NodeRequest({ req: request, res: response }), context)
  await sendNodeResponse(response, answer).catch(() => response.destroy()) // the client is gone, or the headers are sent by somebody else
}
