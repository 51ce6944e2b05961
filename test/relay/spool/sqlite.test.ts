import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Spool } from '../../../src/relay/spool/spool.ts'
import { openSqliteSpool } from '../../../src/relay/spool/sqlite.ts'
import { DatabaseSync } from '../../support/sqlite.ts'
import { describeSpool, eventOf } from './conformance.ts'

describeSpool('SQLite', async (now) => {
  const folder = mkdtempSync(join(tmpdir(), 'pristo-spool-'))
  const opened: Spool[] = []
  return {
    open: async (options) => {
      const spool = await openSqliteSpool(join(folder, 'spool.db'), { ...options, now })
      opened.push(spool)
      return spool
    },
    remove: async () => {
      for (const spool of opened) await spool.close().catch(() => undefined) // the test itself may have
      rmSync(folder, { recursive: true })
    },
  }
})

const makeFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'pristo-sqlite-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  return folder
}

test.each([':memory:', 'file:a?mode=memory'])('keeps events on the disk whatever its file is called: %s', async (name) => {
  onTestFinished(() => ['', '-wal', '-shm'].forEach((end) => rmSync(`${name}${end}`, { force: true })))
  const before = await openSqliteSpool(name)
  expect(await before.put([eventOf(1, 'a')])).toBe('accepted')
  await before.close()
  const after = await openSqliteSpool(name)
  expect((await after.stats()).events).toBe(1)
  await after.close()
})

test('waits once for another process that holds the file, not once for each that asks', async () => {
  const path = join(makeFolder(), 'spool.db')
  const spool = await openSqliteSpool(path)
  const other = new DatabaseSync(path)
  other.exec('begin immediate')
  const startedAt = performance.now()
  const answers = await Promise.allSettled([1, 2, 3].map((n) => spool.put([eventOf(n, 'a')])))
  expect(performance.now() - startedAt).toBeLessThan(9_000)
  for (const answer of answers) expect(answer).toMatchObject({ reason: { message: '[pristo] the spool is held by another process' } })
  other.exec('rollback')
  other.close()
  expect(await spool.put([eventOf(1, 'a')])).toBe('accepted')
  await spool.close()
}, 60_000)

test.each([0, -1, 1.5, NaN, '1GB'])('refuses a limit that would be none: %j', async (given) => {
  const path = join(makeFolder(), 'spool.db')
  await expect(openSqliteSpool(path, JSON.parse(JSON.stringify({ maxBytes: given })))).rejects.toThrow(/^\[pristo\] maxBytes: got (a number|null|a string of 3 characters); allowed is a whole number of bytes from 1$/)
  expect(existsSync(path)).toBe(false)
})

test('can be closed more than once, as by two signals', async () => {
  const spool = await openSqliteSpool(join(makeFolder(), 'spool.db'))
  await Promise.all([spool.close(), spool.close()])
  await spool.close()
  await expect(spool.put([eventOf(1, 'a')])).rejects.toThrow('[pristo] the spool')
})

test.each(['replay', 'drop'] as const)('lets others at the file while it has many buried events to %s', async (verb) => {
  const spool = await openSqliteSpool(join(makeFolder(), 'spool.db'))
  await spool.put(Array.from({ length: 2_500 }, (_, n) => eventOf(n, `c${n}`)))
  await Promise.all((await spool.claim(2_500)).map((claim) => spool.bury(claim, { code: 'expired' })))
  let dead = 2_500
  const seen = new Set<number>()
  const done = spool.dead[verb]('all')
  while (dead) seen.add((dead = (await spool.stats()).dead))
  expect(await done).toBe(2_500)
  expect([...seen].filter((count) => count > 0 && count < 2_500).length).toBeGreaterThan(0)
  await spool.close()
})
