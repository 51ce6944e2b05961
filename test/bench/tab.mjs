// @ts-check
/**
 * A visitor's page that nobody drives. Playwright listens to every request and console line of a page that it opened, which put
 * 15 to 20 % on the main thread of one that sends a fetch an event (Chromium 156): who sends most would be wronged most. It lets go
 * of browser contexts that are not its own, and this one is spoken to by the bare DevTools protocol, with no domain on that need not be.
 */
import { median } from './stats.mjs'

/**
 * @typedef {object} Tab
 * @property {(method: string, given?: object) => Promise<any>} send a command of the DevTools protocol
 * @property {(work: string) => Promise<any>} evaluate an expression in the page; waits for its promise
 * @property {() => Promise<number>} workedMs what the page's main thread has computed so far, milliseconds of processor time
 * @property {(look?: () => Promise<Progress>, withinMs?: number) => Promise<Work>} settle waits until the main thread is quiet and what it is to do over; not while throttled, where each question is work
 * @property {() => Promise<number>} heapBytes what the page's objects take, after a collection of all that is garbage
 * @property {(rate: number) => Promise<void>} throttle so many times slower; 1 ends it
 * @property {(isOffline: boolean) => Promise<void>} seemOffline what `navigator.onLine` and its events say; to cut the network too is the site's (`refuse`): what DevTools cut they listen to
 * @property {() => Promise<void>} end the visitor, and what they stored
 */

/** @typedef {{ cpuMs: number, wallMs: number }} Work of the main thread, until the last moment at which it was busy */

/**
 * How far it is, by any number. What the thread does after the last progress (of its own accord, or while one waits for what never
 * comes) does not count.
 * @typedef {{ isOver: boolean, progress: number }} Progress
 */

/** How often the main thread is asked what it has done, milliseconds. A question costs it about 0.1 ms, which is taken off. */
const STEP_MS = 50

/** Not quiet: a step in which it computed more than that. Where there was none there was no task of that length either. */
const BUSY_MS = 1

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/**
 * Opens a page of a new visitor's.
 * @param {import('./browser.mjs').Browser} browser
 * @param {string} address
 * @param {number} [quietMs] how long the thread must have had nothing to do to be quiet, milliseconds; with 0 nothing is waited for, and `settle` not to be called
 * @returns {Promise<Tab>}
 */
export const openTab = async (browser, address, quietMs = 500) => {
  const session = await browser.session()
  const { browserContextId } = await session.send('Target.createBrowserContext')
  const { targetId } = await session.send('Target.createTarget', { url: 'about:blank', browserContextId, width: 800, height: 600 })
  // Flat sessions are Playwright's: what comes for others it drops.
  const { sessionId } = await session.send('Target.attachToTarget', { targetId, flatten: false })

  /** @typedef {{ result?: unknown, error?: { message: string } }} Answer */
  /** @type {Map<number, (answer: Answer) => void>} */
  const asked = new Map()
  /** @type {Map<string, () => void>} */
  const awaited = new Map()
  let asking = 0
  session.on('Target.receivedMessageFromTarget', ({ message }) => {
    const { id, method, ...answer } = JSON.parse(message)
    asked.get(id)?.(answer)
    asked.delete(id)
    awaited.get(method)?.()
  })

  /** @type {Tab['send']} */
  const send = async (method, params = {}) => {
    const id = ++asking
    const answered = /** @type {Promise<Answer>} */ (new Promise((resolve) => asked.set(id, resolve)))
    await session.send('Target.sendMessageToTarget', { sessionId, message: JSON.stringify({ id, method, params }) })
    const { result, error } = await answered
    if (error) throw new Error(`${method}: ${error.message}`)
    return result
  }

  /** @type {Tab['evaluate']} */
  const evaluate = async (expression) => {
    const { result, exceptionDetails } = await send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true })
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
    return result.value
  }

  const workedMs = async () => {
    /** @type {{ metrics: { name: string, value: number }[] }} */
    const { metrics } = await send('Performance.getMetrics')
    return (metrics.find(({ name }) => name === 'TaskDuration')?.value ?? NaN) * 1000
  }

  /** What one question costs of a quiet page, the middle of some that come as they will come. */
  const askingMs = async () => {
    const costs = []
    for (let before = await workedMs(); costs.length < quietMs / STEP_MS; ) {
      await pause(STEP_MS)
      const now = await workedMs()
      costs.push(now - before)
      before = now
    }
    return median(costs)
  }

  /** @type {Tab['settle']} */
  const settle = async (look = async () => ({ isOver: true, progress: 0 }), withinMs = 60_000) => {
    const [beganAt, beganMs] = [performance.now(), lastMs]
    let asksMs = questionMs // of the one whose answer is `lastMs`
    let [busyAt, lookedAt] = [beganAt, beganAt]
    /** @type {{ work: Work, progress: number } | undefined} */
    let latest
    for (;;) {
      await pause(STEP_MS)
      const now = await workedMs()
      asksMs += questionMs
      if (now - lastMs > BUSY_MS + questionMs) busyAt = performance.now()
      lastMs = now
      const isLate = performance.now() - beganAt > withinMs
      if (!isLate && performance.now() - Math.max(busyAt, lookedAt) < quietMs) continue
      const work = { cpuMs: lastMs - beganMs - asksMs, wallMs: busyAt - beganAt }
      const { isOver, progress } = await look()
      if (latest?.progress !== progress) latest = { work, progress }
      if (isOver || isLate) return latest.work
      const seen = await workedMs() // to look at the page's disk is none of its work
      asksMs += seen - lastMs
      lastMs = seen
      lookedAt = performance.now()
    }
  }

  await send('Performance.enable', { timeDomain: 'threadTicks' })
  await send('Emulation.setUserAgentOverride', { userAgent: browser.userAgent })
  await send('Emulation.setFocusEmulationEnabled', { enabled: true })
  await send('Page.enable')
  const loaded = new Promise((resolve) => awaited.set('Page.loadEventFired', () => resolve(undefined)))
  await send('Page.navigate', { url: address })
  await loaded
  await send('Page.disable')

  let questionMs = 0
  let lastMs = await workedMs()
  if (quietMs) {
    await settle()
    questionMs = await askingMs()
  }

  return {
    send,
    evaluate,
    workedMs,
    settle,
    heapBytes: async () => {
      await send('HeapProfiler.collectGarbage')
      return (await send('Runtime.getHeapUsage')).usedSize
    },
    throttle: (rate) => send('Emulation.setCPUThrottlingRate', { rate }),
    seemOffline: (isOffline) => send('Network.overrideNetworkState', { offline: isOffline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 }),
    end: async () => {
      await session.send('Target.disposeBrowserContext', { browserContextId })
      await session.detach()
    },
  }
}
