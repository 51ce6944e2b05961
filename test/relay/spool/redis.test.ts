import { build } from 'esbuild'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectTo, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import type { PristoEvent } from '../../../src/contract.ts'
import { openSpool } from '../../../src/relay/spool.ts'
import { migrate, openRedisSpool, type RedisSpoolOptions } from '../../../src/relay/spool/redis.ts'
import { MIGRATIONS } from '../../../src/relay/spool/scripts.ts'
import { LEASE_MS, NoSpoolError, SEEN_MS, type Claim, type Spool } from '../../../src/relay/spool/spool.ts'
import { canMount, growDisk, mountDisk, sealDisk } from '../../support/disk.ts'
import { freePort, hasRedis, isRedis6, startRedis, type Redis } from '../../support/redis.ts'
import { uuid } from '../harness.ts'
import { describeSpool, eventOf } from './conformance.ts'

vi.setConfig({ testTimeout: 30_000 }) // servers are started and killed, and a busy machine takes its time

const opened: Spool[] = []
const running: Redis[] = []
const proxies: Server[] = []

const open = async (url: string, options: RedisSpoolOptions = {}): Promise<Spool> => {
  const spool = await openRedisSpool(url, options)
  opened.push(spool)
  return spool
}

const run = async (...how: Parameters<typeof startRedis>): Promise<Redis> => {
  const redis = await startRedis(...how)
  running.push(redis)
  return redis
}

afterEach(async () => {
  for (const spool of opened.splice(0)) await spool.close().catch(() => undefined) // the test itself may have
  for (const proxy of proxies.splice(0)) proxy.close()
  for (const redis of running.splice(0)) await redis.remove()
})

/** The one claim that there must be. */
const claimOne = async (spool: Spool): Promise<Claim> => {
  const [claim] = await spool.claim(1)
  if (!claim) throw new Error('there is nothing to claim')
  return claim
}

const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

/** Why it was refused: the one line. */
const lineOf = async (work: Promise<unknown>): Promise<string> => {
  const error: unknown = await work.then(() => undefined, (cause: unknown) => cause)
  if (!(error instanceof Error)) throw new Error('it was not refused')
  expect(error.message).not.toContain('\n')
  return error.message.replace('[pristo] the spool ', '')
}

/** Waits until the spool takes an event again, and gives what it said. */
const putAgain = (spool: Spool, events: readonly PristoEvent[]): Promise<unknown> => vi.waitFor(() => spool.put(events), { timeout: 10_000, interval: 20 })

/** Everything there is, in the order in which it was claimed. */
const drain = async (spool: Spool): Promise<Claim[]> => {
  const all: Claim[] = []
  for (let claims = await spool.claim(100); claims.length; claims = await spool.claim(100)) {
    all.push(...claims)
    for (const ended of await Promise.all(claims.map((claim) => spool.settle(claim)))) expect(ended).toBe(true)
  }
  return all
}

/** What the keys themselves say, against the totals that are kept beside them. */
const audit = async (redis: Redis, spool: Spool): Promise<void> => {
  const keys = (await redis.command('KEYS', '{pristo}:lane:*')) as string[]
  const lengths = await Promise.all(keys.map((key) => redis.command('LLEN', key)))
  const stats = await spool.stats()
  expect(stats).toMatchObject({ events: lengths.reduce<number>((sum, length) => sum + Number(length), 0), contacts: keys.length })
  for (const key of ['{pristo}:due', '{pristo}:heads']) expect(await redis.command('ZCARD', key)).toBe(keys.length)
  for (const key of ['{pristo}:dead', '{pristo}:dead:names']) expect(await redis.command('ZCARD', key)).toBe(stats.dead)
  expect(await redis.command('HLEN', '{pristo}:dead:events')).toBe(stats.dead)
  if (!stats.events && !stats.dead) expect(stats.bytes).toBe(0)
}

/** A place before a server where what it says is changed; gives its URL. */
const standBefore = async ({ port }: Redis, change: (said: string) => string, hear: (asked: string) => void = () => undefined): Promise<string> => {
  const proxy = createServer((socket) => {
    const upstream = connectTo(port, '127.0.0.1')
    socket.on('data', (chunk) => {
      hear(chunk.toString('latin1'))
      upstream.write(chunk)
    })
    upstream.on('data', (chunk) => socket.write(change(chunk.toString('latin1')), 'latin1'))
    for (const [end, other] of [[socket, upstream], [upstream, socket]] as const) end.on('error', () => undefined).on('close', () => other.destroy())
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  proxies.push(proxy)
  const address = proxy.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return `redis://127.0.0.1:${address.port}`
}

describe.skipIf(!hasRedis)(hasRedis ? 'Redis' : 'Redis: not tested, because there is no redis-server', () => {
  describe('shared', () => {
    let shared: Redis
    let count = 0
    beforeAll(async () => {
      shared = await startRedis()
    })
    afterAll(() => shared.remove())

    describeSpool('Redis', async (now) => {
      const prefix = `{test ${count++}}`
      return {
        open: (options) => open(shared.url, { ...options, prefix, now }),
        remove: async () => {
          for (const spool of opened.splice(0)) await spool.close()
        },
      }
    })

    test('reads the server’s clock, not the relays’', async () => {
      const spool = await open(shared.url, { prefix: '{clock}' })
      await spool.put([eventOf(1, 'a')])
      vi.spyOn(Date, 'now').mockReturnValue(0)
      const [seconds] = (await shared.command('TIME')) as string[]
      const { acceptedAt } = await claimOne(spool)
      expect(Math.abs(acceptedAt - Number(seconds) * 1000)).toBeLessThan(10_000)
      expect(await spool.claim(1)).toEqual([])
    })

    test('lets Redis forget ids after 48 hours, and nothing before that', async () => {
      const spool = await open(shared.url, { prefix: '{ids}' })
      const key = `{ids}:id:${uuid(1)} "a"`
      await spool.put([eventOf(1, 'a')])
      expect(await shared.command('PTTL', key)).toBe(-1)
      await spool.settle(await claimOne(spool))
      await spool.put([eventOf(2, 'a')])
      await spool.bury(await claimOne(spool), { code: 'invalid_event' })
      const dropped = `{ids}:id:${uuid(2)} "a"`
      expect(await shared.command('PTTL', dropped)).toBe(-1)
      await spool.dead.drop('all')
      for (const left of [await shared.command('PTTL', key), await shared.command('PTTL', dropped)].map(Number)) {
        expect(left).toBeGreaterThan(SEEN_MS - 20_000)
        expect(left).toBeLessThanOrEqual(SEEN_MS)
      }
    })

    test('takes more events at once than Lua takes values, of one contact and of many', async () => {
      const spool = await open(shared.url, { prefix: '{large}' })
      const events = [...range(3_500).map((n) => eventOf(n, 'a')), ...range(2_500).map((n) => eventOf(n, `c${n}`))]
      expect(await spool.put(events)).toBe('accepted')
      expect(await spool.put(events)).toBe('accepted')
      expect(await spool.stats()).toMatchObject({ events: 6_000, contacts: 2_501 })
      expect(await spool.claim(3_000)).toHaveLength(2_501)
    })

    test('goes on with other contacts where somebody has deleted what one had', async () => {
      const spool = await open(shared.url, { prefix: '{deleted}' })
      await spool.put([eventOf(1, 'a'), eventOf(2, 'b')])
      await shared.command('DEL', '{deleted}:lane:"a"')
      expect((await spool.claim(5)).map(({ event }) => event.contact.id)).toEqual(['b'])
      expect((await spool.stats()).contacts).toBe(1)
    })

    test('keeps spools of two prefixes apart', async () => {
      const [one, two] = [await open(shared.url, { prefix: '{one}' }), await open(shared.url, { prefix: '{two}' })]
      await one.put([eventOf(1, 'a')])
      expect(await two.claim(5)).toEqual([])
      expect(await two.put([eventOf(1, 'a')])).toBe('accepted')
      expect((await two.stats()).events).toBe(1)
    })

    test('replays and drops more buried events than one script takes, and none that is buried meanwhile', async () => {
      const spool = await open(shared.url, { prefix: '{many}' })
      await spool.put(range(250).map((n) => eventOf(n, `c${n}`)))
      const buried = await spool.claim(250)
      for (const claim of buried) await spool.bury(claim, { code: 'invalid_event' })
      expect((await spool.dead.list(1_000)).map(({ event }) => event)).toEqual(buried.map(({ event }) => event))
      expect(await spool.dead.list(120)).toHaveLength(120)
      const replayed = spool.dead.replay('all')
      const claims = await spool.claim(1_000)
      for (const claim of claims) await spool.bury(claim, { code: 'invalid_event' })
      expect(await replayed).toBe(250)
      expect(await spool.stats()).toMatchObject({ events: 250 - claims.length, dead: claims.length })
      await spool.dead.drop('all')
      await spool.dead.replay('all')
      expect(await spool.stats()).toMatchObject({ dead: 0 })
    })

    test('replays no event that was named a second time, where another operator did so meanwhile and it was buried again', async () => {
      const spool = await open(shared.url, { prefix: '{twice}' })
      await spool.put(range(1_000).map((n) => eventOf(n, `c${n}`)))
      const claims = await spool.claim(1_000)
      await Promise.all(claims.map((claim) => spool.bury(claim, { code: 'invalid_event' })))
      const last = String(claims.at(-1)?.event.id) // found first, taken out last: what follows is done long before
      const all = spool.dead.replay([last, ...claims.map(({ event }) => event.id)])
      const one = await spool.dead.replay([last])
      await spool.bury(await claimOne(spool), { code: 'expired' })
      expect([await all, one]).toEqual([999, 1])
      expect(await spool.dead.list(5)).toMatchObject([{ event: { id: last }, reason: { code: 'expired' } }])
    })

    test('goes on where somebody makes Redis forget the scripts', async () => {
      const spool = await open(shared.url, { prefix: '{flush}' })
      await spool.put([eventOf(1, 'a')])
      await shared.command('SCRIPT', 'FLUSH')
      expect(await Promise.all([spool.put([eventOf(2, 'b')]), spool.put([eventOf(3, 'c')])])).toEqual(['accepted', 'accepted'])
      expect(await spool.claim(5)).toHaveLength(3)
    })

    test('goes on in a database that somebody has emptied, and takes no claim from before for one from after', async () => {
      const redis = await run()
      const spool = await open(redis.url)
      await spool.put([eventOf(1, 'a')])
      const before = await claimOne(spool)
      await redis.command('FLUSHALL')
      expect(await spool.put([eventOf(1, 'a')])).toBe('accepted')
      const after = await claimOne(spool)
      expect(await spool.settle(before)).toBe(false)
      expect(await spool.settle(after)).toBe(true)
    })

    test('refuses a spool that a newer version wrote, at opening and while it is open', async () => {
      const spool = await open(shared.url, { prefix: '{newer}' })
      await spool.put([eventOf(1, 'a')])
      await shared.command('HSET', '{newer}', 'version', '9')
      const line = 'was written by a newer version of pristo (schema 9; this one knows 1): install that one'
      expect(await lineOf(open(shared.url, { prefix: '{newer}' }))).toBe(line)
      expect(await lineOf(spool.put([eventOf(2, 'a')]))).toBe(line)
      expect(await lineOf(spool.claim(1))).toBe(line)
      await shared.command('HSET', '{newer}', 'version', '1')
      expect((await drain(spool)).map(({ event }) => event.id)).toEqual([uuid(1)])
    })

    test('is brought to a newer version once, by whichever relay is first, and then refuses older ones', async () => {
      const older = await open(shared.url, { prefix: '{older}' })
      await older.put([eventOf(1, 'a')])
      const keys = { send: shared.command, prefix: '{older}', time: () => '' }
      const migrations = [...MIGRATIONS, "redis.call('HINCRBY', p, 'times', 1)"]
      await Promise.all([migrate({ ...keys, migrations }), migrate({ ...keys, migrations })])
      expect(await shared.command('HMGET', '{older}', 'version', 'times', 'events')).toEqual(['2', '1', '1'])
      expect(await lineOf(older.put([eventOf(2, 'a')]))).toMatch('was written by a newer version of pristo (schema 2; this one knows 1)')
    })

    test('says that keys of its name are somebody else’s', async () => {
      await shared.command('SET', '{taken}', 'x')
      expect(await lineOf(open(shared.url, { prefix: '{taken}' }))).toMatch('Choose another prefix')
    })

    test('is closed after it was closed', async () => {
      const spool = await open(shared.url)
      const last = spool.stats()
      await spool.close()
      expect((await last).events).toBe(0)
      expect(await lineOf(spool.put([eventOf(1, 'a')]))).toBe('is closed')
      await spool.close()
    })

    test('makes no spool where none was to be made, and opens one that is there', async () => {
      const options = { prefix: '{none}', create: false }
      await expect(open(shared.url, options)).rejects.toBeInstanceOf(NoSpoolError)
      expect(await shared.command('KEYS', '{none}*')).toEqual([])
      await (await open(shared.url, { prefix: '{none}' })).put([eventOf(1, 'a')])
      expect((await (await open(shared.url, options)).stats()).events).toBe(1)
    })

    test('opens by its place', async () => {
      const spool = await openSpool(`${shared.url}/3`)
      opened.push(spool)
      await spool.put([eventOf(1, 'a')])
      expect(await (await open(`${shared.url}/3`)).claim(1)).toHaveLength(1)
      await expect(openSpool('redis')).rejects.toThrow('[pristo] PRISTO_SPOOL: got a string of 5 characters; allowed is sqlite:PATH, redis://HOST:PORT/DB or rediss://…')
    })
  })

  describe('a server that would lose events', () => {
    const UNSAFE = [
      ['appendonly', 'no', 'is not safe there: set appendonly yes (it is no); Redis would hold events in its memory only'],
      ['appendfsync', 'everysec', 'is not safe there: set appendfsync always (it is everysec); Redis would say yes before an event is on its disk'],
      ['no-appendfsync-on-rewrite', 'yes', 'is not safe there: set no-appendfsync-on-rewrite no (it is yes); Redis would not sync its disk while it rewrites its file'],
      ['maxmemory-policy', 'allkeys-lru', 'is not safe there: set maxmemory-policy noeviction (it is allkeys-lru); Redis would throw events away where its memory is full'],
      ['maxmemory-policy', 'volatile-ttl', 'is not safe there: set maxmemory-policy noeviction (it is volatile-ttl); Redis would throw events away where its memory is full'],
    ] as const

    test.for(UNSAFE)('is refused at opening: %s %s', async ([name, value, line]) => {
      const redis = await run({ [name]: value })
      expect(await lineOf(open(redis.url))).toBe(line)
    })

    test.for(UNSAFE)('is refused from the next put on: CONFIG SET %s %s', async ([name, value, line]) => {
      const redis = await run()
      const spool = await open(redis.url)
      expect(await spool.put([eventOf(1, 'a')])).toBe('accepted')
      await redis.command('CONFIG', 'SET', name, value)
      expect(await lineOf(spool.put([eventOf(2, 'a')]))).toBe(line)
      const claim = await claimOne(spool)
      expect(await spool.settle(claim)).toBe(true)
      await redis.restart()
      expect(await putAgain(spool, [eventOf(2, 'a')])).toBe('accepted')
      expect((await drain(spool)).map(({ event }) => event.id).slice(-1)).toEqual([uuid(2)])
    })

    test('is looked at behind what was written, once for all puts of a turn', async () => {
      const redis = await run()
      const asked: string[] = []
      const spool = await open(await standBefore(redis, (text) => text, (text) => asked.push(...text.match(/EVALSHA|CONFIG|INFO/g) ?? [])))
      await spool.put([eventOf(1, 'a')])
      asked.length = 0
      await Promise.all([spool.put([eventOf(2, 'a')]), spool.put([eventOf(3, 'b')])])
      expect(asked).toEqual(['EVALSHA', 'EVALSHA', ...(isRedis6 ? ['CONFIG', 'CONFIG', 'CONFIG'] : []), 'CONFIG', 'INFO'])
    })

    test('is refused where none may ask: CONFIG is renamed, or not allowed', async () => {
      const line = 'cannot ask Redis whether it is safe: allow its user CONFIG GET'
      const renamed = await run({ 'rename-command': 'CONFIG ""' })
      expect(await lineOf(open(renamed.url))).toBe(line)
      const redis = await run()
      await redis.command('ACL', 'SETUSER', 'ann', 'on', '>secret', '~*', '+@all', '-config')
      expect(await lineOf(open(redis.url.replace('//', '//ann:secret@')))).toBe(line)
      await redis.command('ACL', 'SETUSER', 'bob', 'on', '>secret', '~{pristo}*', '+@all', '-@admin', '-@dangerous', '+info', '+config|get')
      const spool = await open(redis.url.replace('//', '//bob:secret@'))
      expect(await spool.put([eventOf(1, 'a')])).toBe('accepted')
      expect(await drain(spool)).toHaveLength(1)
      expect(await lineOf(open(redis.url.replace('//', '//bob:secret@'), { prefix: '{other}' }))).toMatch('its user may not do what is needed')
    })

    test('accepts nothing until its file is complete, where that was switched on just now', async () => {
      const redis = await run({ appendonly: 'no', 'enable-debug-command': 'yes' })
      await redis.command('DEBUG', 'POPULATE', '20000', 'x', '200')
      await redis.command('CONFIG', 'SET', 'rdb-key-save-delay', '20') // microseconds a key, and some more: the rewrite takes a second
      await redis.command('CONFIG', 'SET', 'appendonly', 'yes')
      const spool = await open(redis.url)
      expect(await lineOf(spool.put([eventOf(1, 'a')]))).toBe('waits for Redis to finish writing its append-only file')
      expect(await putAgain(spool, [eventOf(1, 'a')])).toBe('accepted')
      expect(await redis.command('INFO', 'persistence')).toMatch('aof_rewrite_in_progress:0')
      await redis.restart({ appendonly: 'yes' })
      await vi.waitFor(() => spool.stats())
      expect((await drain(spool)).map(({ event }) => event.id)).toEqual([uuid(1)])
    })

    test('accepts nothing until its file is complete, where that was switched off and on between two puts', async () => {
      const redis = await run({ 'enable-debug-command': 'yes', 'rdb-key-save-delay': '20' })
      await redis.command('DEBUG', 'POPULATE', '20000', 'x', '200')
      const spool = await open(redis.url)
      await spool.put([eventOf(1, 'a')])
      await redis.command('CONFIG', 'SET', 'appendonly', 'no')
      await redis.command('CONFIG', 'SET', 'appendonly', 'yes')
      expect(await lineOf(spool.put([eventOf(2, 'b')]))).toBe('waits for Redis to finish writing its append-only file')
      expect(await putAgain(spool, [eventOf(2, 'b')])).toBe('accepted')
      await redis.restart()
      await vi.waitFor(() => spool.stats())
      expect(await drain(spool)).toHaveLength(2)
    })

    // Redis 6.2 does not tell it from the one above: there nothing is accepted until it ends.
    test.skipIf(isRedis6)('accepts while it rewrites a file that was complete before', async () => {
      const redis = await run({ 'enable-debug-command': 'yes', 'rdb-key-save-delay': '20' })
      await redis.command('DEBUG', 'POPULATE', '20000', 'x', '200')
      const spool = await open(redis.url)
      await spool.put([eventOf(1, 'a')])
      await redis.command('BGREWRITEAOF')
      expect(await spool.put([eventOf(2, 'b')])).toBe('accepted')
      expect(await redis.command('INFO', 'persistence')).toMatch('aof_rewrite_in_progress:1')
      await redis.restart()
      await vi.waitFor(() => spool.stats())
      expect(await drain(spool)).toHaveLength(2)
    })

    test('says full where its memory is, takes none of the batch, and can be emptied all the same', async () => {
      const redis = await run()
      const spool = await open(redis.url)
      await spool.put(range(5).map((n) => eventOf(n, 'abcde'.charAt(n))))
      await spool.put([eventOf(5, 'a')])
      await redis.command('CONFIG', 'SET', 'maxmemory', '100kb')
      expect(await spool.put([eventOf(0, 'a'), eventOf(6, 'f')])).toBe('full')
      expect(await spool.put([eventOf(0, 'a')])).toBe('accepted')
      expect((await spool.stats()).events).toBe(6)
      const [one, two, three, four] = await spool.claim(4)
      if (!one || !two || !three || !four) throw new Error('no claims')
      expect(await Promise.all([spool.settle(one), spool.retry(two, 0), spool.bury(three, { code: 'invalid_event' }), spool.bury(four, { code: 'invalid_event' })])).toEqual([true, true, true, true])
      expect(await spool.dead.replay([three.event.id])).toBe(1)
      expect(await spool.dead.drop('all')).toBe(1)
      await audit(redis, spool)
      await redis.command('CONFIG', 'SET', 'maxmemory', '0')
      expect(await spool.put([eventOf(6, 'f')])).toBe('accepted')
      expect(await drain(spool)).toHaveLength(5)
      await audit(redis, spool)
    })
  })

  describe('a disk', () => {
    /** Puts event after event until one is refused: which were accepted, and why no more are. */
    const putUntilRefused = async (spool: Spool): Promise<{ accepted: string[]; line: string }> => {
      const accepted: string[] = []
      for (let n = 0; ; n++) {
        const event = eventOf(n, `c${n % 10}`, { customFields: { note: 'x'.repeat(20_000) } })
        const answer = await spool.put([event]).catch((error: unknown) => String(error))
        if (answer !== 'accepted') return { accepted, line: answer }
        accepted.push(event.id)
      }
    }

    /** Each put is refused; once the spool has tried to connect again the line says why. */
    const expectNobody = (spool: Spool): Promise<void> =>
      vi.waitFor(async () => expect(await lineOf(spool.put([eventOf(900, 'a')]))).toBe('cannot reach Redis: nobody listens at its address'))

    test.runIf(canMount)('that is full ends Redis, so that nothing is accepted; once there is room it has all that was', async () => {
      const redis = await run({}, (dir) => mountDisk(dir, 2 ** 20))
      const spool = await open(redis.url)
      const { accepted, line } = await putUntilRefused(spool)
      expect(accepted.length).toBeGreaterThan(10)
      expect(line).toMatch(/^SpoolError: \[pristo\] the spool (lost its connection to Redis|cannot reach Redis: [^\n]+)$/)
      await expectNobody(spool)
      growDisk(redis.dir, 16 * 2 ** 20)
      await redis.restart()
      expect(await putAgain(spool, [eventOf(901, 'a')])).toBe('accepted')
      const found = (await drain(spool)).map(({ event }) => event.id)
      expect(found.filter((id) => accepted.includes(id)).sort()).toEqual([...accepted].sort())
    })

    test.runIf(canMount)('that is read-only keeps Redis from its start: nothing is accepted, and the line says who is missing', async () => {
      const redis = await run({}, (dir) => mountDisk(dir, 2 ** 20))
      const spool = await open(redis.url)
      await spool.put([eventOf(1, 'a')])
      await redis.kill()
      sealDisk(redis.dir)
      await expect(redis.restart()).rejects.toThrow(/Read-only file system|EROFS/i)
      await expectNobody(spool)
    })

    test('that has damaged the file keeps Redis from its start: nothing is accepted, and the line says who is missing', async () => {
      const redis = await run()
      const spool = await open(redis.url)
      for (const n of range(200)) await spool.put([eventOf(n, 'a')])
      await redis.kill()
      const dir = isRedis6 ? redis.dir : join(redis.dir, 'appendonlydir')
      const [file = ''] = readdirSync(dir).filter((name) => name.endsWith(isRedis6 ? '.aof' : '.incr.aof'))
      const path = join(dir, file)
      const bytes = readFileSync(path)
      writeFileSync(path, bytes.fill('?', bytes.length >> 1, (bytes.length >> 1) + 4_096))
      await expect(redis.restart()).rejects.toThrow(/Bad file format/)
      await expectNobody(spool)
    })
  })

  describe('a server that goes away', () => {
    test('has all that was accepted after kill -9 amid many puts, once and in order', async () => {
      const redis = await run()
      const relays = [await open(redis.url), await open(redis.url)]
      const lanes = range(20).map((lane) => range(30).map((n) => eventOf(lane * 100 + n, `c${lane}`)))
      let accepted = 0
      let rejected = 0
      let reached: (() => void) | undefined

      /** As a browser does: the next one once this one is accepted, else the same again. */
      const send = async (spool: Spool, events: readonly PristoEvent[]): Promise<void> => {
        for (const event of events) {
          const once = (): Promise<unknown> =>
            spool.put([event]).catch((error: unknown) => {
              rejected++
              throw error
            })
          expect(await vi.waitFor(once, { timeout: 20_000, interval: 20 })).toBe('accepted')
          accepted++
          if (accepted % 100 === 0) reached?.()
        }
      }
      const sent = Promise.all(lanes.map((events, lane) => send(relays[lane % 2] ?? relays[0]!, events)))
      for (let kills = 0; kills < 4; kills++) {
        await new Promise<void>((resolve) => (reached = resolve))
        await redis.restart()
      }
      await sent
      await redis.restart()
      expect(rejected).toBeGreaterThan(0)
      const [spool] = relays
      if (!spool) throw new Error('no spool')
      await vi.waitFor(() => spool.stats())
      await audit(redis, spool)
      const claims = await drain(spool)
      expect(claims).toHaveLength(600)
      for (const [lane, events] of lanes.entries()) expect(claims.filter(({ event }) => event.contact.id === `c${lane}`).map(({ event }) => event)).toEqual(events)
      await audit(redis, spool)
    })

    test('settles each event once, in order, with two workers through kill -9', async () => {
      const redis = await run()
      let at = 1_796_000_000_000
      const workers = [await open(redis.url, { now: () => at }), await open(redis.url, { now: () => at })]
      const [first] = workers
      if (!first) throw new Error('no spool')
      await first.put(range(400).map((n) => eventOf(n, `c${n % 40}`)))
      const settled: Claim[] = []
      const unsure: Claim[] = []
      let reached: (() => void) | undefined
      const work = async (spool: Spool): Promise<void> => {
        const { events } = await vi.waitFor(() => spool.stats(), { timeout: 10_000, interval: 20 })
        if (!events) return
        try {
          const [claim] = await spool.claim(1)
          if (!claim) at += LEASE_MS // all are on their way: one whose claim was not answered would be for this long
          else {
            unsure.push(claim)
            const isMine = await spool.settle(claim)
            unsure.splice(unsure.indexOf(claim), 1)
            if (isMine) settled.push(claim)
            if (settled.length % 100 === 0) reached?.()
          }
        } catch {
          // killed: whether it was settled is not known
        }
        return work(spool)
      }
      const worked = Promise.all([...workers, ...workers].map(work))
      for (let kills = 0; kills < 3; kills++) {
        await new Promise<void>((resolve) => (reached = resolve))
        await redis.restart()
      }
      await worked
      const ids = settled.map(({ event }) => event.id)
      expect(new Set(ids).size).toBe(ids.length)
      expect(new Set([...ids, ...unsure.map(({ event }) => event.id)]).size).toBe(400)
      for (const lane of range(40)) {
        const order = settled.filter(({ event }) => event.contact.id === `c${lane}`).map(({ seq }) => seq)
        expect(order).toEqual([...order].sort((a, b) => a - b))
      }
      await audit(redis, first)
    })

    test('is found again without opening the spool anew, and rejects at once while it is away', async () => {
      const redis = await run()
      const spool = await open(redis.url)
      await spool.put([eventOf(1, 'a')])
      await redis.kill()
      await vi.waitFor(async () => expect(await lineOf(spool.claim(1))).toBe('cannot reach Redis: nobody listens at its address'))
      await redis.restart()
      expect(await vi.waitFor(() => spool.claim(1), { timeout: 10_000, interval: 20 })).toHaveLength(1)
    })

    test('holds nobody up where it does not answer, and is asked again when it does', async () => {
      const redis = await run()
      const spool = await open(redis.url, { answerMs: 300 })
      await redis.pauseWhile(async () => {
        expect(await lineOf(spool.put([eventOf(1, 'a')]))).toBe('got no answer from Redis within 300 ms')
        await lineOf(spool.put([eventOf(2, 'a')]))
      })
      expect(await putAgain(spool, [eventOf(1, 'a'), eventOf(2, 'a')])).toBe('accepted')
      expect((await drain(spool)).map(({ event }) => event.id)).toEqual([uuid(1), uuid(2)])
    })

    test('is connected to anew where a connection has gone silent', async () => {
      const redis = await run()
      let isSilent = false
      const spool = await open(await standBefore(redis, (text) => (isSilent ? '' : text)), { answerMs: 300 })
      isSilent = true
      expect(await lineOf(spool.put([eventOf(1, 'a')]))).toBe('got no answer from Redis within 300 ms')
      isSilent = false // for the connection from before as well, whose answers would now be taken for those of other commands
      expect(await putAgain(spool, [eventOf(2, 'a')])).toBe('accepted')
      expect((await drain(spool)).map(({ event }) => event.id)).toEqual([uuid(1), uuid(2)])
    })

    test('is asked what it is at each connection: another may be there', async () => {
      const redis = await run()
      const asked: string[] = []
      let isOld = false
      const url = await standBefore(
        redis,
        (text) => (isOld ? text.replace(/redis_version:...../, 'redis_version:6.2.1') : text),
        (text) => asked.push(...text.split('*').filter((command) => command.includes('CONFIG'))),
      )
      const spool = await open(url)
      await spool.put([eventOf(1, 'a')])
      isOld = true
      asked.length = 0
      await redis.command('CLIENT', 'KILL', 'TYPE', 'normal')
      await putAgain(spool, [eventOf(2, 'a')])
      expect(new Set(asked.map((command) => command.split('\r\n')[0]))).toEqual(new Set(['3']))
    })

    test('is refused where it does not know a command, and its answer, which repeats what it was sent, is not passed on', async () => {
      const redis = await run({ 'rename-command': 'EVALSHA ""' })
      const spool = await open(redis.url)
      const error: unknown = await spool.put([eventOf(1, 'ann@example.org')]).catch((cause: unknown) => cause)
      expect(error).toMatchObject({ message: expect.stringMatching(/^\[pristo\] the spool failed: ERR unknown command ['`]EVALSHA['`]$/) })
      expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('ann@')
    })

    test('is refused with a line, and no password in it', async () => {
      const redis = await run({ requirepass: 'hunter2' })
      const at = (user: string): string => redis.url.replace('//', `//${user}@`)
      const spool = await open(at(':hunter2'))
      await spool.put([eventOf(1, 'a')])
      const lines = await Promise.all([open(at(':hunter3')), open(redis.url), open('redis://:hunter2@127.0.0.1:1'), open('redis://:hunter2@127.0.0.1:70000'), open('redis://:hun#ter2@x'), open('redis://:%zhunter2@x'), open('http://:hunter2@x'), open('redis://:hunter2@x/db')].map(lineOf))
      const allowed = (length: number): string =>
        `[pristo] the spool: got a string of ${length} characters; allowed is redis[s]://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], with special characters of the password as in any URL (%23 for #)`
      expect(lines).toEqual([
        'cannot use Redis: it refuses the user or the password',
        'cannot use Redis: it asks for a password',
        'cannot reach Redis: nobody listens at its address',
        ...[32, 19, 20, 17, 21].map(allowed),
      ])
      const error: unknown = await open(at(':hunter3')).catch((cause: unknown) => cause)
      expect(error).toMatchObject({ cause: expect.anything() })
      expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('hunter')
      await expect(openRedisSpool(redis.url, { prefix: 'pristo' })).rejects.toThrow('[pristo] prefix: got a string of 6 characters; allowed is a text with something in braces, such as {pristo}')
    })

    test('may change its password: then the spool says so, until it is the old one', async () => {
      const redis = await run({ requirepass: 'hunter2' })
      const spool = await open(redis.url.replace('//', '//:hunter2@'))
      await redis.restart({ requirepass: 'other' })
      await vi.waitFor(async () => expect(await lineOf(spool.stats())).toBe('cannot use Redis: it refuses the user or the password'), { timeout: 5_000 })
      await redis.restart()
      await vi.waitFor(() => spool.stats(), { timeout: 10_000, interval: 20 })
    })

    test('may come back as a replica, or still read its files', async () => {
      const [primary, redis] = [await run(), await run()]
      const spool = await open(redis.url)
      await spool.put([eventOf(1, 'a')])
      await redis.command('REPLICAOF', '127.0.0.1', String(primary.port))
      await vi.waitFor(async () => expect(await lineOf(spool.put([eventOf(2, 'a')]))).toBe('cannot write: this Redis is a replica. Give the address of the primary'))
      expect(await lineOf(open(redis.url))).toBe('cannot write: this Redis is a replica. Give the address of the primary')
    })

    test('works as a node of a cluster that has the keys, and is refused where another has', async () => {
      const ports = [await freePort(), await freePort()].map(String)
      const [redis, other] = await Promise.all(ports.map((port) => run({ 'cluster-enabled': 'yes', 'cluster-port': port })))
      if (!redis || !other) throw new Error('no servers')
      expect(await lineOf(open(redis.url))).toBe('cannot use Redis: its cluster is down')
      await redis.command('CLUSTER', 'ADDSLOTS', ...range(16_384).map(String))
      const spool = await vi.waitFor(() => open(redis.url), { timeout: 10_000 })
      await spool.put([eventOf(1, 'a'), eventOf(2, 'b')])
      await spool.bury(await claimOne(spool), { code: 'invalid_event' })
      expect(await spool.dead.replay('all')).toBe(1)
      expect(await drain(spool)).toHaveLength(2)
      await redis.command('CLUSTER', 'MEET', '127.0.0.1', String(other.port), isRedis6 ? String(other.port + 10_000) : ports[1] ?? '')
      const line = 'cannot use this Redis: another node of its cluster has the keys. Give the address of that one'
      await vi.waitFor(async () => expect(await lineOf(open(other.url))).toBe(line), { timeout: 10_000 })
    })

    test('is none: something else answers there, or nothing does', async () => {
      const http = createServer((socket) => socket.on('error', () => undefined).end('HTTP/1.1 400 Bad Request\r\n\r\n')).listen(0, '127.0.0.1')
      const mute = createServer((socket) => socket.on('error', () => undefined)).listen(0, '127.0.0.1')
      for (const [server, line] of [[http, /^(lost its connection to|cannot reach) Redis/], [mute, /^got no answer from Redis within 300 ms$/]] as const) {
        if (!server.listening) await once(server, 'listening')
        const address = server.address()
        if (address === null || typeof address === 'string') throw new Error('no port')
        expect(await lineOf(open(`redis://127.0.0.1:${address.port}`, { answerMs: 300 }))).toMatch(line)
        server.close()
      }
    })

    test('is refused where it is too old', async () => {
      const redis = await run()
      const url = await standBefore(redis, (text) => text.replace(/redis_version:...../, 'redis_version:6.0.9'))
      expect(await lineOf(open(url))).toMatch(/^needs Redis 6\.2 or later, or Valkey; this is 6\.0/)
    })

    test('is asked and understood as Redis 6.2 is: one setting at a time, and errors of scripts told otherwise', async () => {
      const redis = await run()
      const asked: string[] = []
      const url = await standBefore(
        redis,
        (text) => text.replace(/redis_version:...../, 'redis_version:6.2.1').replace(/^-OOM .*\r\n/m, `-ERR Error running script (call to f_${'0'.repeat(40)}): @user_script:9: @user_script: 9: -OOM command not allowed when used memory > 'maxmemory'.\r\n`),
        (text) => asked.push(...text.split('*').filter((command) => command.includes('CONFIG'))),
      )
      const spool = await open(url)
      expect(await spool.put([eventOf(1, 'a')])).toBe('accepted')
      expect(new Set(asked.map((command) => command.split('\r\n')[0]))).toEqual(new Set(['3']))
      await redis.command('CONFIG', 'SET', 'maxmemory', '100kb')
      expect(await spool.put([eventOf(2, 'a')])).toBe('full')
    })
  })

  test('needs a package, and says so where it is absent: no bundle holds it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pristo-spool-'))
    await build({ entryPoints: ['src/relay/spool/redis.ts'], bundle: true, platform: 'node', format: 'esm', outfile: join(folder, 'spool.mjs') })
    const code = `import { openRedisSpool } from './spool.mjs'; openRedisSpool('redis://x').catch(({ message }) => console.log(message))`
    const said = execFileSync(process.execPath, ['--input-type=module', '-e', code], { cwd: folder, encoding: 'utf8' })
    expect(said).toBe('[pristo] the spool needs the client of Redis, which is not installed: npm install @redis/client\n')
    rmSync(folder, { recursive: true })
  })
})
