/**
 * A Cloudflare Worker in front of a site that stays as it is: relay and script on the site's own origin, the tag in every page.
 *
 * wrangler.toml:
 *   name = "pristo"
 *   main = "worker-front.mjs"
 *   compatibility_date = "2026-04-01"
 *   routes = [{ pattern = "shop.example/*", zone_name = "shop.example" }]
 *   [vars]
 *   PRISTO_POPULATION_ID = "…"
 *
 * wrangler secret put PRISTO_API_KEY && wrangler deploy
 */
import { createRelay } from 'pristo/relay'
import { createSiteFront } from 'pristo/relay/front'
import { tag } from 'pristo/relay/tag'

let front

export default {
  fetch(request, env, context) {
    front ??= createSiteFront({
      relay: createRelay({ apiKey: env.PRISTO_API_KEY, populationId: env.PRISTO_POPULATION_ID, identity: 'page' }),
      tag,
      inject: true,
    })
    return front(request, context)
  },
}
