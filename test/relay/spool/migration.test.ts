// @vitest-environment node
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import type { PristoEvent } from '../../../src/contract.ts'
import { LEASE_MS } from '../../../src/relay/spool/spool.ts'
import { MIGRATIONS, migrate, type Query, type Value } from '../../../src/relay/spool/sql.ts'
import { openSqliteSpool } from '../../../src/relay/spool/sqlite.ts'
import { startSpoolWorker } from '../../../src/relay/spool/start.ts'
import { DatabaseSync } from '../../support/sqlite.ts'
import { createApi, KEY, POPULATION, uuid } from '../harness.ts'
import { eventOf } from './conformance.ts'

/** Runs a query on a file, as the relay of an older version would. */
const inFile = (path: string, work: (query: Query) => void): void => {
  const database = new DatabaseSync(path)
  try {
    database.exec('pragma journal_mode = wal; begin')
    work((sql, ...values) => database.prepare(sql).all(...values) as Record<string, unknown>[]) // rows are objects
    database.exec('commit')
  } catch (error) {
    database.exec('rollback')
    throw error
  } finally {
    database.close()
  }
}

const makePath = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'pristo-migration-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  return join(folder, 'spool.db')
}

const sizeOf = (event: PristoEvent): number => new TextEncoder().encode(JSON.stringify(event)).length

/** What the first version wrote, word by word: it must be read for ever. */
const writeFirst = (query: Query, acceptedAt: number): void => {
  migrate(query, MIGRATIONS.slice(0, 1))
  const events = [eventOf(1, 'a'), eventOf(2, 'a'), eventOf(3, 'b'), eventOf(4, 'ü "1"')]
  const row = (event: PristoEvent): Value[] => [`${event.id} ${JSON.stringify(event.contact.id)}`, JSON.stringify(event), sizeOf(event)]
  for (const event of events) {
    const [key = null, body = null, bytes = null] = row(event)
    query('insert into events (key, contact, body, bytes, accepted_at) values (?, ?, ?, ?, ?)', key, JSON.stringify(event.contact.id), body, bytes, acceptedAt)
  }
  query(`insert into lanes values ('"a"', ?, 2, 0), ('"b"', ?, 0, 7), ('"ü \\"1\\""', ?, 0, 0)`, acceptedAt, acceptedAt + LEASE_MS, acceptedAt) // that of b was on its way
  const buried = eventOf(5, 'c')
  query('insert into dead (key, body, bytes, reason, accepted_at, buried_at) values (?, ?, ?, ?, ?, ?)', ...row(buried), '{"code":"invalid_event","status":400}', acceptedAt, acceptedAt)
  query('insert into seen values (?, ?)', `${uuid(6)} "d"`, acceptedAt + 1e9)
  query('update totals set events = 4, lanes = 3, dead = 1, bytes = ?, fence = 7', [...events, buried].reduce((sum, event) => sum + sizeOf(event), 0))
}

test('a spool of the first version is opened, and everything in it is delivered in order', async () => {
  const path = makePath()
  inFile(path, (query) => writeFirst(query, Date.now() - LEASE_MS))
  const spool = await openSqliteSpool(path)
  expect(await spool.stats()).toMatchObject({ events: 4, contacts: 3, dead: 1 })
  expect(await spool.dead.list(5)).toMatchObject([{ event: eventOf(5, 'c'), reason: { code: 'invalid_event', status: 400 } }])
  await spool.put([eventOf(2, 'a'), eventOf(5, 'c'), eventOf(6, 'd'), eventOf(7, 'b')])
  const api = createApi()
  const worker = startSpoolWorker({ apiKey: KEY, populationId: POPULATION, identity: 'page', baseUrl: 'https://api.pristo.test', spool, fetch: api.fetch })
  await vi.waitFor(async () => expect((await spool.stats()).events).toBe(0), 5_000)
  await worker.stop()
  expect(api.calls.map(({ id, contactId }) => `${contactId} ${id}`).sort()).toEqual([`a ${uuid(1)}`, `a ${uuid(2)}`, `b ${uuid(3)}`, `b ${uuid(7)}`, `ü "1" ${uuid(4)}`])
  for (const contact of ['a', 'b']) expect(api.calls.filter(({ contactId }) => contactId === contact).map(({ id }) => id)).toEqual(contact === 'a' ? [uuid(1), uuid(2)] : [uuid(3), uuid(7)])
  expect(await spool.stats()).toMatchObject({ contacts: 0, dead: 1, bytes: sizeOf(eventOf(5, 'c')) })
  await spool.close()
})

test('what the newest version needs is there after the first opening: a buried event’s details come with the next one', async () => {
  const path = makePath()
  inFile(path, (query) => writeFirst(query, Date.now() - LEASE_MS))
  const spool = await openSqliteSpool(path)
  const contact = { id: 'e', email: 'e@b.co' }
  await spool.put([eventOf(8, 'e', { contact }), eventOf(9, 'e')])
  const claims = await spool.claim(10)
  const claim = claims.find(({ event }) => event.contact.id === 'e')
  if (!claim) throw new Error('no claim')
  await spool.bury(claim, { code: 'invalid_event' })
  expect((await spool.claim(10)).map(({ event }) => event.contact)).toEqual([contact])
  await spool.close()
})

test('a migration that fails halfway has changed nothing', async () => {
  const path = makePath()
  inFile(path, (query) => writeFirst(query, Date.now() - LEASE_MS))
  expect(() => inFile(path, (query) => migrate(query, [...MIGRATIONS.slice(0, 1), ['create table half (a)', 'nonsense']]))).toThrow()
  const spool = await openSqliteSpool(path)
  expect(await spool.stats()).toMatchObject({ events: 4, contacts: 3, dead: 1 })
  await spool.close()
  inFile(path, (query) => expect(query("select name from sqlite_master where name = 'half'")).toEqual([]))
})

test('a spool of a newer version is left as it is', async () => {
  const path = makePath()
  inFile(path, (query) => {
    writeFirst(query, Date.now())
    query('update version set version = ?', MIGRATIONS.length + 1)
  })
  await expect(openSqliteSpool(path)).rejects.toThrow(`was written by a newer version of pristo (schema ${MIGRATIONS.length + 1}; this one knows ${MIGRATIONS.length}): install that one`)
  inFile(path, (query) => expect(query('select count(*) as count from events')).toEqual([{ count: 4 }]))
})
