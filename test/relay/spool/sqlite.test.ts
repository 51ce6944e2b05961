import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Spool } from '../../../src/relay/spool/spool.ts'
import { openSqliteSpool } from '../../../src/relay/spool/sqlite.ts'
import { describeSpool } from './conformance.ts'

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
