// @ts-check
/**
 * What the relay costs over a bare pass-through of the same batches, on the same runtime.
 * Events per second are by the clock, CPU by what the system says of the measured process alone (client and API are processes of their own).
 */
import { Agent } from 'node:http'
import { interleave } from '../stats.mjs'
import { checkStored, compile, cpuUsOf, makeBody, post, startNode, startUpstream, startWorkerd, VARIANTS } from '../targets.mjs'

/** @typedef {import('../targets.mjs').Target} Target */
/** @typedef {import('../targets.mjs').Variant} Variant */

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

const NAMES = { node: 'Node', workerd: 'workerd' }

/**
 * @param {keyof typeof NAMES} runtime
 * @param {number} events
 */
const columnsOf = (runtime, events) => {
  const what = `${NAMES[runtime]}, ${events} a batch`
  return [
    { key: `${runtime}_${events}_rate`, title: what, unit: 'events/s', digits: 0, better: /** @type {const} */ ('more') },
    { key: `${runtime}_${events}_cpu`, title: what, unit: 'CPU µs/event', digits: 0, better: /** @type {const} */ ('less') },
  ]
}

/**
 * Relay and pass-through in turns: what the machine does besides hits both.
 * @param {{ repeats: number, quick?: boolean, plan?: Plan }} context
 */
export const measure = async ({ repeats, quick = false, plan = quick ? { ...PLAN, seconds: 0.3 } : PLAN }) => {
  const programs = await compile()
  const { settings, close } = await startUpstream()
  /** @type {Record<keyof typeof NAMES, (variant: Variant) => Promise<Target>>} */
  const runtimes = {
    node: (variant) => startNode(programs.node, variant, JSON.stringify(settings)),
    workerd: (variant) => startWorkerd(programs.workers[variant], settings),
  }
  const names = plan.runtimes.map((name) => {
    if (name === 'node' || name === 'workerd') return name
    throw new Error(`no runtime is called ${name}; there are ${Object.keys(runtimes).join(', ')}`)
  })
  const columns = names.flatMap((runtime) => plan.events.flatMap((events) => columnsOf(runtime, events)))
  const rows = VARIANTS.map((id) => ({ id, values: /** @type {Record<string, number[]>} */ (Object.fromEntries(columns.map(({ key }) => [key, []]))) }))
  try {
    for (const runtime of names) {
      const targets = { relay: await runtimes[runtime]('relay'), bare: await runtimes[runtime]('bare') }
      for (const events of plan.events) {
        for (const { one: { id, values } } of interleave(rows, repeats)) {
          const { rate, cpu } = await run(targets[id], { ...plan, events })
          values[`${runtime}_${events}_rate`]?.push(rate)
          values[`${runtime}_${events}_cpu`]?.push(cpu)
        }
      }
      await Promise.all([targets.relay.close(), targets.bare.close()])
    }
  } finally {
    await close()
    programs.remove()
  }
  const notes = [`${plan.clients} batches under way at once, each with events of ${plan.contacts} contacts; ${repeats} × ${plan.seconds} s each, relay and pass-through in turns.`]
  return { name: 'relay', title, notes, columns, rows }
}
