/** The engines that are put to the proof, each in a place of its own. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSpool, type Spool } from '../../../src/relay/spool.ts'
import { hasRedis, startRedis } from '../../support/redis.ts'

/** A place for one spool, empty at first. */
export interface Store {
  /** As `PRISTO_SPOOL` has it. */
  readonly place: string
  /** A handle of our own, beside those of the relays. */
  open(): Promise<Spool>
  /** `kill -9` of the server; resolves, once it is gone, to when that was, in milliseconds since 1970. Absent where there is none. */
  kill?: () => Promise<number>
  /** Starts the server anew, over what its disk has; resolves once it answers. */
  restart?: () => Promise<void>
  /** Ends all that is there, and deletes it. */
  remove(): Promise<void>
}

/** An engine. */
export interface Engine {
  readonly name: string
  /** What lacks on this machine, where something does. */
  lacks?: string
  start(): Promise<Store>
}

const sqlite: Engine = {
  name: 'SQLite',
  start: async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pristo-torture-'))
    const place = `sqlite:${join(folder, 'spool.db')}`
    return { place, open: () => openSpool(place), remove: async () => rmSync(folder, { recursive: true, force: true }) }
  },
}

const redis: Engine = {
  name: 'Redis',
  ...(!hasRedis && { lacks: 'no redis-server' }),
  start: async () => {
    const server = await startRedis()
    const kill = async (): Promise<number> => {
      const at = Date.now()
      await server.kill()
      return at
    }
    return { place: server.url, open: () => openSpool(server.url), kill, restart: () => server.restart(), remove: () => server.remove() }
  },
}

export const engines: readonly Engine[] = [sqlite, redis]
