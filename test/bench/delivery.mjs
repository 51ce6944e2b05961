// @ts-check
/** Whether each library works here at all: numbers of one whose events go nowhere would say nothing. */

/** Longest that any of them takes by its own timers: RudderStack and Amplitude ask for settings first, Segment and Mixpanel gather for seconds. */
const WITHIN_MS = 30_000

/**
 * Has each library track one event, all at the same time, and waits until it has arrived.
 * Rejects where one has not, and names it.
 * @param {Pick<import('./main.mjs').Context, 'server' | 'browser' | 'peers'>} context
 */
export const checkDelivery = async ({ server, browser, peers }) => {
  const lost = await Promise.all(
    peers.map(async ({ id }, nth) => {
      const mark = `m0_${nth + 100}` // all of one length: what is waited for is a mark's beginning
      const visit = await browser.visit(`/page/${id}`)
      await visit.evaluate(`void track('${mark}')`)
      const count = await server.arrived({ marks: mark, count: 1, withinMs: WITHIN_MS })
      await visit.end()
      return count ? [] : [id]
    }),
  )
  const names = lost.flat()
  if (names.length) throw new Error(`no event of ${names.join(', ')} arrived within ${WITHIN_MS / 1000} s: its numbers would be of something that does not work`)
  await server.clear()
}
