// @vitest-environment node
/** The simulated network and storage keep the rules of browsers that the product is built around. */
import { afterEach, describe, expect, it } from 'vitest'
import { enter } from './ambience.ts'
import { createApi } from './api.ts'
import { createDisk } from './indexeddb.ts'
import { createWorld, type World } from './network.ts'
import { Page, type Device } from './page.ts'
import { createRandom } from './random.ts'
import { createCookies, createLocal } from './storage.ts'
import { createTime } from './time.ts'

const NOON = Date.parse('2026-07-01T12:00:00Z')

let exit = (): void => {}
afterEach(() => exit())

const setUp = () => {
  const time = createTime(NOON)
  exit = enter(time, () => {})
  const random = createRandom(3)
  const stored: string[] = []
  const device: Device = {
    disk: createDisk(time, random, () => {}),
    local: createLocal(time),
    cookies: createCookies(time, () => time.now(), '/'),
    clockOffMs: 0,
    isOnline: true,
    hasKeepalive: true,
    foreignBytes: 0,
  }
  const api = createApi(time, random, ({ id }) => void stored.push(id), () => {}, () => {})
  const ears = { onDispatch: () => {}, onOverBudget: () => {}, onHead: () => {}, onRead: () => {} }
  const world: World = createWorld({ device, api, time, random, ears, log: () => {} })
  const open = (): Page =>
    new Page({ nth: 1, device, network: world, time, random, attributes: {}, script: () => {}, onWrite: () => {}, onThrown: () => {}, log: () => {} })
  const run = (forMs: number) => {
    const end = time.now() + forMs
    time.after(forMs, () => {})
    return time.run(() => time.now() >= end)
  }
  return { time, device, api, world, open, run, stored }
}

const id = (nth: number): string => `01980000-0000-7000-8000-${String(nth).padStart(12, '0')}`

/** A batch of one event, filled up to so many bytes. */
const batch = (nth: number, bytes = 0): string => {
  const event = { id: id(nth), type: 'view', occurredAt: new Date(NOON).toISOString(), contact: { id: 'u_1', email: 'a@b.co' }, customFields: {} }
  const text = JSON.stringify({ v: 1, sentAt: new Date(NOON).toISOString(), ack: true, events: [event] })
  return text + ' '.repeat(Math.max(0, bytes - text.length))
}

const post = (world: World, page: Page, body: string, keepalive: boolean): Promise<unknown> =>
  world.fetch(page, '/pristo', { method: 'POST', body, keepalive })

describe('the simulated browser', () => {
  it('refuses keepalive bodies over 64 KiB together, and gives the budget back when an answer was read', async () => {
    const { world, open, run } = setUp()
    const page = open()
    const told: string[] = []
    const first = post(world, page, batch(1, 40_000), true)
    post(world, page, batch(2, 40_000), true).catch((error: Error) => told.push(error.name))
    await run(1_000)
    expect(told).toEqual(['TypeError'])
    post(world, page, batch(3, 40_000), true).catch(() => told.push('not read yet'))
    await run(10)
    expect(told).toEqual(['TypeError', 'not read yet'])
    void first.then((answer) => (answer as Response).text())
    await run(1_000)
    const last = post(world, page, batch(4, 40_000), true)
    await run(1_000)
    expect(await last).toMatchObject({ status: 200 })
  })

  it('refuses the tenth keepalive request', async () => {
    const { world, open, run } = setUp()
    const page = open()
    let refused = 0
    for (let nth = 1; nth <= 10; nth++) post(world, page, batch(nth), true).catch(() => refused++)
    await run(1)
    expect(refused).toBe(1)
  })

  it('lets a keepalive request outlive its page, and takes its answer’s cookie', async () => {
    const { world, open, run, stored, device } = setUp()
    const page = open()
    void post(world, page, batch(1), true)
    void post(world, page, batch(2), false)
    page.end()
    await run(1_000)
    expect(stored).toEqual([id(1)])
    expect(device.cookies.read()).toMatch(/^pristo_ack_/)
    device.cookies.write(`${device.cookies.read().split('=')[0]}=; Max-Age=0`)
    expect(device.cookies.read()).toBe('')
  })

  it('runs nothing of a page that is gone, and everything late of one that was frozen', async () => {
    const { open, run } = setUp()
    const ran: string[] = []
    const gone = open()
    gone.later(10, () => ran.push('gone'))
    gone.end()
    const frozen = open()
    frozen.later(10, () => ran.push('frozen'))
    frozen.freeze()
    await run(100)
    expect(ran).toEqual([])
    frozen.thaw()
    await run(100)
    expect(ran).toEqual(['frozen'])
  })

  it('forgets at a kill what localStorage got last', async () => {
    const { device, run, time } = setUp()
    const local = device.local.open(() => {}) as Storage
    local.setItem('a', '1')
    await run(30_000)
    local.a = '2'
    expect(Object.keys(local)).toEqual(['a'])
    device.local.rollBack(time.now() - 10_000)
    expect(local.getItem('a')).toBe('1')
    delete local.a
    expect(local.length).toBe(0)
  })

  it('answers late, twice or never where it is told to', async () => {
    const { world, open, run, stored } = setUp()
    const page = open()
    world.break('answer never comes')
    let isAnswered = false
    void post(world, page, batch(1), true).then(() => (isAnswered = true))
    await run(40_000)
    expect([stored, isAnswered]).toEqual([[id(1)], false])
    world.break('sent twice')
    void post(world, page, batch(2), true)
    await run(60_000)
    expect(stored).toEqual([id(1), id(2)]) // the relay knew it
    world.restartRelay(false)
    world.break(undefined)
    void post(world, page, batch(2), true)
    await run(1_000)
    expect(stored).toEqual([id(1), id(2), id(2)]) // a new one does not
  })
})
