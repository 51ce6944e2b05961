// Relay and script as a Cloudflare Worker; see wrangler.toml.   npx wrangler secret put PRISTO_API_KEY · npx wrangler deploy
import { optionsFromEnv } from 'pristo/relay/env'
import { toWorker } from 'pristo/relay/cloudflare'
import { tag } from 'pristo/relay/tag'

export default toWorker((env) => optionsFromEnv(env, { identity: 'page', tag }))
