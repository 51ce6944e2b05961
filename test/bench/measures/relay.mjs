// @ts-check
/**
 * What the relay costs over a bare pass-through of the same batches, on the same runtime.
 * Events per second are by the clock, CPU by what the system says of the measured process alone (client and API are processes of their own).
 */
import { Agent } from 'node:http'
import { interleave } from '../stats.mjs'
import { checkStored, compile, cpuUsOf, makeBody, post, startNode, startUpstream, startWorkerd, VARIANTS } from '../targets.mjs'

/** @typedef {import('../targets.mjs').Target} Target */
/** @typedef {import('../targets.mjs').NodeVariant} NodeVariant */

/**
 * @typedef {object} Plan
 * @property {string[]} runtimes `node`, `workerd`
 * @property {number[]} events a batch, each measured for itself
 * @property {number} seconds each, after a warm-up of a third of that
 * @property {number} contacts among whom a batch's events are spread: the relay sends one contact's events one after another
 * @property {number} clients batches under way at once
 */

export const title = 'The relay: throughput'

/** @type {Plan} */
export const PLAN = { runtimes: ['node', 'workerd'], events: [1, 10, 40], seconds: 2, contacts: 8, clients: 8 }

/**
 * As many batches as go in so much time.
 * @param {Target} target
 * @param {Omit<Plan, 'runtimes' | 'events'> & { events: number }} load
 */
const run = async (target, { seconds, events, contacts, clients }) => {
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  checkStored(await post(target.url, { agent, body: makeBody(events, contacts) }), events)

  const batchesIn = async (/** @type {number} */ ms) => {
    const end = performance.now() + ms
    let batches = 0
    const one = async () => {
      for (; performance.now() < end; batches++) await post(target.url, { agent, body: makeBody(events, contacts) })
    }
    await Promise.all(Array.from({ length: clients }, one))
    return batches
  }
  await batchesIn((seconds * 1000) / 3)
  const [startedAt, cpuUs] = [performance.now(), cpuUsOf(target.pid)]
  const count = (await batchesIn(seconds * 1000)) * events
  const figures = { rate: (count / (performance.now() - startedAt)) * 1000, cpu: (cpuUsOf(target.pid) - cpuUs) / count }
  agent.destroy()
  return figures
}

/** @typedef {import('../report.mjs').Table} Table */

/** @type {Record<string, { name: string, ids: readonly NodeVariant[], notes: string[] }>} */
const RUNTIMES = {
  node: {
    name: 'Node',
    ids: ['relay', 'relay-fetch', 'bare'],
    notes: ['The relay calls the API over `node:http`, as `serveRelay` does (`nodeFetch`); `relay-fetch` by the runtime’s own `fetch`, as the pass-through does, which would save as much by `node:http`.'],
  },
  workerd: { name: 'workerd', ids: VARIANTS, notes: [] },
}

/** @param {number} events @returns {import('../report.mjs').Column[]} */
const columnsOf = (events) => [
  { key: `rate${events}`, title: `${events} a batch`, unit: 'events/s', digits: 0, better: 'more' },
  { key: `cpu${events}`, title: `${events} a batch`, unit: 'CPU µs/event', digits: 0, better: 'less' },
]

/**
 * All variants on one runtime in turns: what the machine does besides hits each of them.
 * @param {{ repeats: number, plan: Plan, ids: readonly NodeVariant[], start: (id: NodeVariant) => Promise<Target> }} given
 */
const compare = async ({ repeats, plan, ids, start }) => {
  const columns = plan.events.flatMap(columnsOf)
  const rows = ids.map((id) => ({ id, values: /** @type {Record<string, number[]>} */ (Object.fromEntries(columns.map(({ key }) => [key, []]))) }))
  /** @type {{ values: Record<string, number[]>, target: Target }[]} */
  const started = []
  try {
    for (const { id, values } of rows) started.push({ values, target: await start(id) }) // one by one: a new workerd is known by there being one more
    for (const events of plan.events) {
      for (const { one: { values, target } } of interleave(started, repeats)) {
        const { rate, cpu } = await run(target, { ...plan, events })
        values[`rate${events}`]?.push(rate)
        values[`cpu${events}`]?.push(cpu)
      }
    }
  } finally {
    await Promise.all(started.map(({ target }) => target.close()))
  }
  return { columns, rows }
}

/**
 * A table for each runtime.
 * @param {{ repeats: number, isQuick?: boolean, plan?: Plan }} context
 * @returns {Promise<Table[]>}
 */
export const measure = async ({ repeats, isQuick = false, plan = isQuick ? { ...PLAN, seconds: 0.3 } : PLAN }) => {
  const strange = plan.runtimes.find((one) => !RUNTIMES[one])
  if (strange !== undefined) throw new Error(`no runtime is called ${strange}; there are ${Object.keys(RUNTIMES).join(', ')}`)
  const programs = await compile()
  const { settings, close } = await startUpstream()
  /** @type {Table[]} */
  const tables = []
  try {
    for (const runtime of plan.runtimes) {
      const { name, ids, notes } = RUNTIMES[runtime] ?? { name: runtime, ids: [], notes: [] }
      const start = (/** @type {NodeVariant} */ id) =>
        runtime === 'node' ? startNode(programs.node, id, JSON.stringify(settings)) : startWorkerd(programs.workers[id === 'bare' ? id : 'relay'], settings)
      const how = `${plan.clients} batches under way at once, each with events of ${plan.contacts} contacts; ${repeats} × ${plan.seconds} s each, in turns.`
      tables.push({ name: `relay-${runtime}`, title: `${title} on ${name}`, notes: [how, ...notes], ...(await compare({ repeats, plan, ids, start })) })
    }
  } finally {
    await close()
    programs.remove()
  }
  return tables
}
