/**
 * Relay and script as a Cloudflare Worker that keeps events itself while the Pristo API is down: it answers 202 once they are safe in Durable
 * Objects, which deliver them. See wrangler.spool.toml.
 *
 * npx wrangler secret put PRISTO_API_KEY -c wrangler.spool.toml && npx wrangler deploy -c wrangler.spool.toml
 */
import { toWorker } from 'pristo/relay/cloudflare'
import { optionsFromEnv } from 'pristo/relay/env'
import { createSpoolObject, objectSpool } from 'pristo/relay/object'
import { tag } from 'pristo/relay/tag'

const optionsOf = (env) => optionsFromEnv(env, { identity: 'page', tag })
const relay = toWorker((env) => ({ ...optionsOf(env), spool: objectSpool(env.SPOOL) }))

export const PristoSpool = createSpoolObject(optionsOf)

/**
 * For you alone, where the secret SPOOL_SECRET is set (npx wrangler secret put SPOOL_SECRET): what waits, and what was buried and why.
 *   curl -H "Authorization: Bearer $SPOOL_SECRET" https://shop.example/pristo/spool
 *   curl -H "Authorization: Bearer $SPOOL_SECRET" https://shop.example/pristo/spool -d replay    (or drop)
 */
const operate = async (request, { SPOOL, SPOOL_SECRET }) => {
  const [given, expected] = await Promise.all([request.headers.get('Authorization'), `Bearer ${SPOOL_SECRET}`].map(digest))
  if (!SPOOL_SECRET || given !== expected) return new Response('not found', { status: 404 })
  const { stats, dead } = objectSpool(SPOOL)
  const verb = request.method === 'POST' && (await request.text())
  if (verb === 'replay' || verb === 'drop') return Response.json({ [verb]: await dead[verb]('all') })
  return Response.json({ stats: await stats(), dead: await dead.list(20) })
}

/** Nobody can guess a secret by how long it takes to compare two of these. */
const digest = async (text) => new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))).toString()

export default {
  fetch: (request, env, context) => (new URL(request.url).pathname === '/pristo/spool' ? operate(request, env) : relay.fetch(request, env, context)),

  // By the cron trigger: a line for the log, and an alarm where events should have lost theirs.
  scheduled: async (_, { SPOOL }) => console.log(JSON.stringify({ spool: await objectSpool(SPOOL).stats() })),
}
