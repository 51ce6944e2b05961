/** What a spool in a file does when the disk under it fails: the relay as a process of its own, on real faults. */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, closeSync, existsSync, mkdirSync, mkdtempSync, openSync, renameSync, rmSync, statSync, unlinkSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import type { PristoEvent } from '../../../src/contract.ts'
import { openSqliteSpool } from '../../../src/relay/spool/sqlite.ts'
import { canMount, fillDisk, mountDisk, succeeds } from '../../support/disk.ts'
import { startPristoApi, type PristoApi } from '../../support/pristo-api.ts'
import { DatabaseSync } from '../../support/sqlite.ts'
import { post, type Heard } from '../../torture/spool/post.ts'
import { freePort, startRelay, type Relay, type RelaySettings } from '../../torture/spool/relays.ts'
import { buildCommand } from '../cli/process.ts'
import { KEY, makeEvent } from '../harness.ts'

/** 16 of it stay free: see RESERVE_BYTES of sqlite.ts. */
const DISK_BYTES = 20 * 2 ** 20

/** Root may read and write whatever the mode of a file says, unless it gives that up. */
const AS_ANYBODY = process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search', '--inh-caps=-dac_override,-dac_read_search'] : []

const obeysModes = !AS_ANYBODY.length || succeeds('setpriv', '--version')

const canLimit = succeeds('prlimit', '--version')

let api: PristoApi
let command: Awaited<ReturnType<typeof buildCommand>>
let folder: string
let relays: Relay[]
let ends: (() => void)[]
/** Events that a relay said it has, by their ids. */
let taken: string[]
let made = 0

beforeAll(async () => {
  ;[api, command] = await Promise.all([startPristoApi({ apiKey: KEY }), buildCommand()])
})
afterAll(async () => {
  command.remove()
  await api.close()
})

const arrange = (): string => {
  folder = mkdtempSync(join(tmpdir(), 'pristo-disk-'))
  relays = []
  ends = []
  taken = []
  api.clear()
  return join(folder, 'spool.db')
}

afterEach(async () => {
  for (const relay of relays) await relay.kill()
  for (const end of ends) end()
  rmSync(folder, { recursive: true })
})

const serve = async (path: string, { env, ...settings }: Partial<RelaySettings> = {}): Promise<Relay> => {
  const own = { PRISTO_API_KEY: KEY, PRISTO_POPULATION_ID: api.populationId, PRISTO_BASE_URL: api.url, PRISTO_RATE_LIMIT: 'off', PRISTO_SPOOL: `sqlite:${path}` }
  const relay = startRelay({ name: 'relay', port: await freePort(), file: command.file, env: { ...own, ...env }, ...settings })
  relays.push(relay)
  return relay
}

const running = async (...how: Parameters<typeof serve>): Promise<Relay> => {
  const relay = await serve(...how)
  await relay.ready()
  return relay
}

/** Some of 40 contacts, of about a kilobyte each: a batch is as large as it may be. */
const makeEvents = (count: number): PristoEvent[] =>
  Array.from({ length: count }, () => {
    const fields = Object.fromEntries(Array.from({ length: 16 }, (_, n) => [`field_${n}`, 'x'.repeat(50)]))
    return makeEvent(++made, { contact: { id: `c${made % 40}`, email: 'a@b.co' }, customFields: fields })
  })

/** Sends a batch; what the relay takes is remembered. */
const send = async (relay: Relay, count = 40): Promise<Heard> => {
  const heard = await post(relay.url, makeEvents(count))
  if (!heard) throw new Error('the relay did not answer')
  for (const { id, outcome } of heard.results) if (outcome === 'stored') taken.push(id)
  return heard
}

/** Sends until a batch is not taken. */
const sendUntilRefused = async (relay: Relay): Promise<Heard> => {
  for (;;) {
    const heard = await send(relay)
    if (heard.status !== 202) return heard
  }
}

const REFUSED = { status: 503, retryAfterS: 60 }

/** The ids of all events in a spool that nobody uses. */
const idsIn = async (path: string): Promise<string[]> => {
  const spool = await openSqliteSpool(path, { now: () => Date.now() + 60_000 }) // behind all leases
  const ids: string[] = []
  for (;;) {
    const claims = await spool.claim(100)
    if (!claims.length) break
    for (const claim of claims) {
      ids.push(claim.event.id)
      await spool.settle(claim)
    }
  }
  await spool.close()
  return ids
}

const idsAtApi = (): string[] => api.events().map(({ requestId }) => String(requestId))

/** That whatever was taken is in the spool or at Pristo, once. */
const expectAllOf = async (path: string): Promise<void> => {
  const found = [...(await idsIn(path)), ...idsAtApi()]
  expect(found.filter((id) => taken.includes(id)).sort()).toEqual([...taken].sort())
}

/** The line with which a relay ends that cannot use its spool. */
const endOf = async (relay: Relay): Promise<{ code: number | null; lines: string[] }> => ({ code: await relay.ended(), lines: relay.errors() })

const overwrite = (path: string, from = 0, bytes = statSync(path).size - from): void => {
  const file = openSync(path, 'r+')
  writeSync(file, randomBytes(bytes), 0, bytes, from)
  closeSync(file)
}

describe('on a full disk', () => {
  /** A small disk in place of the folder. */
  const mount = (): void => void ends.push(mountDisk(folder, DISK_BYTES))

  test.runIf(canMount)('takes nothing, says so in one line, and takes events again once there is room', async () => {
    const path = arrange()
    mount()
    const relay = await running(path, { env: { PRISTO_SPOOL_RATE: '1' } })
    expect((await send(relay)).status).toBe(202)
    const empty = fillDisk(folder)
    expect(await sendUntilRefused(relay)).toMatchObject(REFUSED)
    expect(await send(relay)).toMatchObject(REFUSED)
    expect(relay.errors().filter((line) => line.endsWith('events wait in the browsers'))).toEqual(['the spool takes nothing more: its disk has less than 16 MB left; events wait in the browsers'])
    empty()
    expect((await send(relay)).status).toBe(202)
    await relay.stop()
    await expectAllOf(path)
  })

  test.runIf(canMount)('that the spool itself has filled, it is emptied as soon as the API is back', async () => {
    const path = arrange()
    mount()
    const relay = await running(path, { env: { PRISTO_SPOOL_RATE: '1' } })
    expect(await sendUntilRefused(relay)).toMatchObject(REFUSED)
    await relay.stop()
    const next = await running(path)
    await vi.waitFor(() => expect(new Set(idsAtApi()).size).toBe(taken.length), 30_000)
    expect((await send(next)).status).toBe(202)
    await next.stop()
    await expectAllOf(path)
  }, 60_000)

  test.runIf(canLimit)('or under a limit to the size of files, takes nothing, says so in one line, and takes events again once there is room', async () => {
    const path = arrange()
    const relay = await running(path, { wrap: ['prlimit', '--fsize=200000:unlimited'], env: { PRISTO_SPOOL_RATE: '1' } })
    expect((await send(relay, 1)).status).toBe(202)
    expect(await sendUntilRefused(relay)).toMatchObject(REFUSED)
    expect(await send(relay)).toMatchObject(REFUSED)
    expect(relay.errors().filter((line) => line.endsWith('events wait in the browsers'))).toEqual(['the spool cannot read or write its file: the disk fails; events wait in the browsers'])
    execFileSync('prlimit', ['--pid', String(relay.pid()), '--fsize=unlimited'])
    expect((await send(relay)).status).toBe(202)
    await relay.stop()
    await expectAllOf(path)
  })
})

describe('a relay does not start', () => {
  /** A spool that is sound, with some events in it. */
  const makeSpool = async (path: string): Promise<void> => {
    const spool = await openSqliteSpool(path)
    for (let n = 0; n < 5; n++) await spool.put(makeEvents(40))
    await spool.close()
  }

  const CANNOT_OPEN = '[pristo] the spool cannot open its file: the folder must exist and be writable'

  test.runIf(obeysModes)('on a file that is read-only', async () => {
    const path = arrange()
    await makeSpool(path)
    chmodSync(path, 0o400)
    expect(await endOf(await serve(path, { wrap: AS_ANYBODY }))).toEqual({ code: 1, lines: [CANNOT_OPEN] })
  })

  test.runIf(obeysModes)('in a folder that is read-only', async () => {
    const path = arrange()
    await makeSpool(path)
    for (const part of ['-wal', '-shm']) rmSync(path + part, { force: true }) // as another binding of SQLite leaves it
    chmodSync(folder, 0o500)
    expect(await endOf(await serve(path, { wrap: AS_ANYBODY }))).toEqual({ code: 1, lines: ['[pristo] the spool cannot write: its file, or the folder of it, is read-only'] })
    chmodSync(folder, 0o700)
  })

  test.runIf(obeysModes)('in a folder that it may not enter', async () => {
    const path = arrange()
    chmodSync(folder, 0)
    expect(await endOf(await serve(path, { wrap: AS_ANYBODY }))).toEqual({ code: 1, lines: [CANNOT_OPEN] })
    chmodSync(folder, 0o700)
  })

  test('in a folder that is not there', async () => {
    arrange()
    expect(await endOf(await serve(join(folder, 'none', 'spool.db')))).toEqual({ code: 1, lines: [CANNOT_OPEN] })
  })

  test('on a path that is a folder', async () => {
    const path = arrange()
    mkdirSync(path)
    expect(await endOf(await serve(path))).toEqual({ code: 1, lines: ['[pristo] the spool cannot open its file: it is a folder'] })
  })

  test('on a file that is none of ours', async () => {
    const path = arrange()
    writeFileSync(path, 'shopping list: bread, milk '.repeat(1_000))
    expect(await endOf(await serve(path))).toEqual({ code: 1, lines: ['[pristo] the spool is damaged: its file is no database. Move it away'] })
  })

  test('on a file of which a part was overwritten', async () => {
    const path = arrange()
    await makeSpool(path)
    overwrite(path, 40_960, 65_536)
    const { code, lines } = await endOf(await serve(path))
    expect([code, lines.length]).toEqual([1, 1])
    expect(lines[0]).toMatch(/^\[pristo\] the spool is damaged: /)
  })

  test('on a spool of a newer version', async () => {
    const path = arrange()
    await makeSpool(path)
    const database = new DatabaseSync(path)
    database.exec('update version set version = 99')
    database.close()
    const { code, lines } = await endOf(await serve(path))
    expect([code, lines.length]).toEqual([1, 1])
    expect(lines[0]).toMatch(/^\[pristo\] the spool was written by a newer version of pristo \(schema 99; this one knows \d+\): install that one$/)
  })
})

describe('under a running relay', () => {
  const LOST = 'the spool has lost its file: it was moved or deleted. Start the relay again; events wait in the browsers'

  test.each(['', '-wal'])('spool.db%s is deleted: it takes nothing more, says so in one line, and a new start takes events again', async (part) => {
    const path = arrange()
    const relay = await running(path)
    await send(relay)
    await vi.waitFor(() => expect(idsAtApi()).toHaveLength(40), 10_000)
    unlinkSync(path + part)
    taken = []
    expect(await send(relay)).toMatchObject(REFUSED)
    expect(await send(relay)).toMatchObject(REFUSED)
    expect(relay.errors()).toContain(LOST)
    await relay.stop()
    const next = await running(path)
    expect((await send(next)).status).toBe(202)
    await next.stop()
    await expectAllOf(path)
  })

  test('its files are moved: it takes nothing more, what it took is in them, and once they are back it takes events again', async () => {
    const path = arrange()
    const relay = await running(path, { env: { PRISTO_SPOOL_RATE: '1' } })
    await send(relay)
    const parts = ['', '-wal', '-shm'].filter((part) => existsSync(path + part))
    for (const part of parts) renameSync(path + part, `${path}.away${part}`)
    expect(await send(relay)).toMatchObject(REFUSED)
    expect(relay.errors()).toContain(LOST)
    for (const part of parts) renameSync(`${path}.away${part}`, path + part)
    expect((await send(relay)).status).toBe(202)
    await relay.stop()
    await expectAllOf(path)
  })

  test('its file is overwritten: from the first thing that cannot be read it takes nothing more', async () => {
    const path = arrange()
    const relay = await running(path, { env: { PRISTO_SPOOL_RATE: '1' } })
    for (let n = 0; n < 200; n++) expect((await send(relay)).status).toBe(202) // more than SQLite holds in memory
    overwrite(path, 4_096)
    const refused = await sendUntilRefused(relay)
    expect(refused).toMatchObject(REFUSED)
    expect(await send(relay)).toMatchObject(REFUSED)
    expect(relay.errors().find((line) => line.startsWith('the spool is damaged: '))).toBeDefined()
  })
})
