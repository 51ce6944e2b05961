// @ts-check
/** What becomes of events whose page goes in the moment in which it tracks. The server is the witness, not the page. */
import { setTimeout as wait } from 'node:timers/promises'

/** @typedef {import('../main.mjs').Context} Context */
/** @typedef {import('../peers.mjs').Peer} Peer */
/** @typedef {import('../browser.mjs').Visit} Visit */
/** @typedef {import('../report.mjs').Table} Table */

export const title = 'Delivery at exit'

/**
 * How long, milliseconds: a library may take to deliver the first event of a visit, its settings and its own waiting included; a page may
 * take to rest; until the next visit where the site is there, and until the site is there again; and that visit itself, which is longer than
 * our lease of 15 s, and than most of the others wait: what would come late, or once more, has come.
 */
const TIMES = { readyMs: 12_000, restMs: 3_000, awayMs: 5_000, outageMs: 2_000, visitMs: 25_000 }

/** Enough to see that it runs. */
const QUICK_TIMES = { readyMs: 4_000, restMs: 0, awayMs: 500, outageMs: 500, visitMs: 1_000 }

/** A round takes a minute and a half, and what is counted is no matter of speed. */
const MAX_ROUNDS = 3

/** Pages that are opened at a time. Most of it they wait. */
const AT_ONCE = 8

/** Why a library is not in the table. */
const UNREADY = `no event had arrived ${TIMES.readyMs / 1000} s after the first call`

/**
 * @typedef {object} Exit
 * @property {string} name
 * @property {string} title
 * @property {number} events
 * @property {boolean} isDown whether the site's intakes are unreachable meanwhile
 * @property {(visit: Visit, marks: string, events: number) => Promise<unknown>} leave tracks, and goes
 */

/** Tracks, and navigates in the same task. @type {Exit['leave']} */
const navigate = async ({ page }, marks, events) => {
  await page.evaluate(
    (given) => {
      // In a task of its own: an evaluation whose page goes has no answer.
      setTimeout(() => {
        for (let n = 0; n < given.events; n++) Object(window).track(given.marks + n)
        location.href = '/page/none'
      })
    },
    { marks, events },
  )
  await page.waitForURL('**/page/none')
}

/** Tracks in one task; the tab closes in the next. @type {Exit['leave']} */
const close = async (visit, marks, events) => {
  await visit.page.evaluate(
    (given) => {
      for (let n = 0; n < given.events; n++) Object(window).track(given.marks + n)
    },
    { marks, events },
  )
  await visit.close()
}

/** @type {readonly Exit[]} */
const EXITS = [
  { name: 'away', title: 'An event in the task that navigates away', events: 1, isDown: false, leave: navigate },
  { name: 'close', title: '50 events in a task, then the tab closes', events: 50, isDown: false, leave: close },
  { name: 'down', title: '50 events in a task, then the tab closes, and nobody can be reached until the next visit', events: 50, isDown: true, leave: close },
]

/** @type {Table['columns']} */
const COLUMNS = [
  { key: 'once', title: 'delivered at once', unit: '%', digits: 0, better: 'more' },
  { key: 'later', title: 'delivered by the end of the next visit', unit: '%', digits: 0, better: 'more' },
  { key: 'lost', title: 'lost', unit: '%', digits: 0, better: 'less' },
  { key: 'twice', title: 'arrived once more', unit: '%', digits: 0, better: 'less' },
]

/**
 * One visitor of one library, who leaves in one way.
 * @typedef {object} Sample
 * @property {Peer} peer
 * @property {Exit} exit
 * @property {boolean} isReady whether its first event has arrived: without that it is not the exit that is measured
 * @property {string} marks how those of its events begin
 * @property {Visit} visit the page that goes
 * @property {Visit} other a tab without any library, with which the browser stays open
 */

/**
 * A visitor whose page has all that its library wants at start, and is quiet.
 * @param {Context} context
 * @param {Peer} peer
 * @param {Exit} exit
 * @param {number} run
 * @returns {Promise<Sample>}
 */
const arrange = async ({ server, browser, isQuick }, peer, exit, run) => {
  const { readyMs, restMs } = isQuick ? QUICK_TIMES : TIMES
  const visit = await browser.visit(`/page/${peer.id}`)
  const other = await visit.open('/page/none')
  const first = `m${run}_`
  await visit.evaluate(`void track('${first}0')`)
  const isReady = !!(await server.arrived({ marks: first, count: 1, withinMs: readyMs }))
  await visit.quiet(restMs)
  return { peer, exit, isReady, marks: `m${run + 1}_`, visit, other }
}

/** @typedef {{ once: number, later: number, lost: number, twice: number }} Fate */

/**
 * What became of a sample's events, in percent of those tracked.
 * @param {Sample} sample
 * @param {readonly import('../intake.ts').Arrival[]} arrivals
 * @param {number} returnedAt when the next visit began
 * @returns {Fate}
 */
const judge = ({ exit, marks }, arrivals, returnedAt) => {
  const ours = arrivals.filter(({ mark }) => mark.startsWith(marks))
  const percent = (/** @type {number} */ count) => (100 * count) / exit.events
  const different = (/** @type {typeof ours} */ list) => new Set(list.map(({ mark }) => mark)).size
  const all = different(ours)
  return {
    once: percent(different(ours.filter(({ at }) => at < returnedAt))),
    later: percent(all),
    lost: percent(exit.events - all),
    twice: percent(ours.length - all),
  }
}

/**
 * Works on everything in turns, a few at a time: more pages that load at once than processors only wait for each other.
 * @template T, Made
 * @param {readonly T[]} list
 * @param {(one: T, nth: number) => Promise<Made>} work
 * @returns {Promise<Made[]>}
 */
const inParallel = async (list, work) => {
  /** @type {Made[]} */
  const made = []
  const turns = list.entries()
  const workOn = async () => {
    for (const [nth, one] of turns) made[nth] = await work(one, nth)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, workOn))
  return made
}

/**
 * Every library leaves in every way, one after another, and they wait together: nothing here is a matter of speed.
 * @param {Context} context
 */
const playRound = async (context) => {
  const { server, peers, isQuick } = context
  const times = isQuick ? QUICK_TIMES : TIMES
  await server.clear()
  const plan = EXITS.flatMap((exit) => peers.map((peer) => ({ exit, peer })))
  const samples = await inParallel(plan, ({ exit, peer }, nth) => arrange(context, peer, exit, 2 * nth))
  // One after another: nobody's exit waits for another's.
  const leave = async (/** @type {boolean} */ isDown) => {
    for (const { exit, visit, marks } of samples) if (exit.isDown === isDown) await exit.leave(visit, marks, exit.events)
  }

  await leave(false)
  await wait(times.awayMs)
  await server.weather({ refuse: true })
  await leave(true)
  await wait(times.outageMs)
  await server.weather({ refuse: false })

  const returnedAt = await inParallel(samples, async ({ other, peer }) => {
    const at = performance.timeOrigin + performance.now()
    await other.open(`/page/${peer.id}`)
    return at
  })
  await wait(times.visitMs)
  const arrivals = await server.arrivals()
  await Promise.all(samples.map(({ other }) => other.end()))
  return samples.flatMap((sample, nth) => {
    const { exit, peer, isReady } = sample
    return isReady ? [{ exit, id: peer.id, fate: judge(sample, arrivals, returnedAt[nth] ?? Infinity) }] : []
  })
}

/** @param {Exit} exit */
const noteOf = ({ isDown }) => {
  const { awayMs, outageMs, visitMs } = TIMES
  return [
    'Each library with a visitor of its own. The page has delivered a first event.',
    isDown
      ? `Every connection to an intake is cut from before the events are tracked until ${outageMs / 1000} s after the last page has gone; the pages themselves can be reached.`
      : `At once: before the next visit, which comes ${awayMs / 1000} s later at the earliest.`,
    `Then the visitor opens the page again and stays for ${visitMs / 1000} s: longer than the 15 s for which ours leaves to the page that is gone what that may have delivered.`,
  ].join(' ')
}

/**
 * @param {Context} context
 * @returns {Promise<Table[]>} one for each way to leave
 */
export const measure = async (context) => {
  /** @type {Awaited<ReturnType<typeof playRound>>} */
  const fates = []
  for (let round = 0; round < Math.min(context.repeats, MAX_ROUNDS); round++) fates.push(...(await playRound(context)))
  return EXITS.map((exit) => ({
    name: `exit-${exit.name}`,
    title: exit.title,
    notes: [noteOf(exit)],
    columns: exit.isDown ? COLUMNS.filter(({ key }) => key !== 'once') : COLUMNS,
    rows: context.peers.map(({ id }) => {
      const own = fates.filter((one) => one.exit === exit && one.id === id)
      const list = (/** @type {keyof Fate} */ key) => own.map(({ fate }) => fate[key])
      return {
        id,
        values: { once: list('once'), later: list('later'), lost: list('lost'), twice: list('twice') },
        ...(!own.length && { why: Object.fromEntries(COLUMNS.map(({ key }) => [key, UNREADY])) }),
      }
    }),
    chart: { column: 'later' },
  }))
}
