// @vitest-environment node
import { expect, it, onTestFinished } from 'vitest'
import { createSqlSpool, migrate, type Query } from '../../../src/relay/spool/sql.ts'
import { DatabaseSync } from '../../support/sqlite.ts'
import { eventOf } from './conformance.ts'

it.each([1, 2])('takes what was chosen among buried events, not what was buried after the choice: the same event (1) or another', (n) => {
  const database = new DatabaseSync(':memory:')
  onTestFinished(() => database.close())
  const query: Query = (sql, ...values) => database.prepare(sql).all(...values) as Record<string, unknown>[]
  migrate(query)
  const spool = createSqlSpool({ query, now: Date.now })
  const buryOne = (): void => spool.claim(1).forEach((claim) => spool.bury(claim, { code: 'invalid_event' }))
  spool.put([eventOf(1, 'a')])
  buryOne()
  const chosen = spool.selectDead('all')
  spool.replay(chosen)
  if (n === 2) spool.claim(1).forEach(spool.settle)
  spool.put([eventOf(n, 'a')])
  buryOne()
  expect([spool.drop(chosen), spool.replay(chosen)]).toEqual([0, 0])
  expect(spool.stats()).toMatchObject({ dead: 1 })
})
