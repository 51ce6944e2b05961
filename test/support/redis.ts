/**
 * A real Redis of one test's own.
 * Invariant: it listens on 127.0.0.1 alone and writes into a folder of its own; neither outlives the tests.
 */
import { createClient } from '@redis/client'
import { spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { start, stop } from './browsers/process.ts'

/** Another server of the same kind, such as `valkey-server`, may be tested in its place. */
const PROGRAM = process.env['PRISTO_REDIS_SERVER'] ?? 'redis-server'

const { status, stdout } = spawnSync(PROGRAM, ['--version'], { encoding: 'utf8' })

/** Whether there is one on this machine. */
export const hasRedis = status === 0

/** Whether it is a Redis 6: its append-only file is one, and the port of its cluster's bus is 10 000 above its own. */
export const isRedis6 = hasRedis && / v=6\./.test(stdout)

/** Settings that Redis 6 does not know, and does without. */
const SINCE_7 = ['enable-debug-command', 'cluster-port']

/** As a spool needs it; `save` is off, so that the append-only file is all there is. */
const SETTINGS = { appendonly: 'yes', appendfsync: 'always', 'maxmemory-policy': 'noeviction', save: '' }

/** A running server. */
export interface Redis {
  /** `redis://127.0.0.1:PORT`. */
  readonly url: string
  readonly port: number
  /** Its own. */
  readonly dir: string
  /** One command, over a connection of its own. */
  command(...command: string[]): Promise<unknown>
  /** SIGKILL. Resolves when it is gone. */
  kill(): Promise<void>
  /** Stops it for as long as `work` takes (SIGSTOP): it neither answers nor goes. */
  pauseWhile<T>(work: () => Promise<T>): Promise<T>
  /** Starts it again over the same folder, with settings changed; kills it first where it still runs. */
  restart(settings?: Record<string, string>): Promise<void>
  /** Ends it, and removes its folder. */
  remove(): Promise<void>
}

/**
 * A free port below those that the system gives to outgoing connections (from 32768): while the server is down, one of them could take its
 * place, or be connected to itself.
 */
export const freePort = async (): Promise<number> => {
  const port = 20_000 + Math.floor(Math.random() * 10_000)
  const probe = createServer().listen(port, '127.0.0.1')
  const isFree = await Promise.race([once(probe, 'listening').then(() => true), once(probe, 'error').then(() => false)])
  if (!isFree) return freePort()
  probe.close()
  await once(probe, 'close')
  return port
}

/** Starts the program. Resolves once it says that it takes connections, rejects with its log where it ends before. */
const startServer = async (settings: Record<string, string>): Promise<ChildProcess> => {
  const file = join(settings['dir'] ?? '', 'redis.conf')
  const known = Object.entries(settings).filter(([name]) => !(isRedis6 && SINCE_7.includes(name)))
  writeFileSync(file, known.map(([name, value]) => `${name} ${value || '""'}\n`).join(''))
  const server = start('sh', ['-c', 'exec "$0" "$1" >&3 2>&3', PROGRAM, file]) // it logs to its standard output, and descriptor 3 is our pipe
  let log = ''
  const ready = new Promise<void>((resolve) => {
    const pipe = server.stdio[3] as Readable
    pipe.on('data', (chunk) => {
      log += String(chunk)
      if (/ready to accept connections/i.test(log)) resolve()
    })
  })
  const ended = once(server, 'exit').then(() => Promise.reject(new Error(`${PROGRAM} ended at once: ${log}`)))
  ended.catch(() => undefined) // later it may: that is `stop`
  await Promise.race([ready, ended])
  return server
}

/** Starts a server; `settings` are those of redis.conf, over what a spool needs, and `mount` may put a disk in place of its folder. */
export const startRedis = async (settings: Record<string, string> = {}, mount?: (dir: string) => () => void): Promise<Redis> => {
  const dir = mkdtempSync(join(tmpdir(), 'pristo-redis-'))
  const unmount = mount?.(dir)
  const port = await freePort()
  const first = { ...SETTINGS, ...settings, dir, port: String(port), bind: '127.0.0.1' }
  let server = await startServer(first)
  const kill = (): Promise<void> => stop(server)
  const url = `redis://127.0.0.1:${port}`
  const signal = (name: NodeJS.Signals): void => {
    server.kill(name)
  }
  return {
    url,
    port,
    dir,
    kill,
    command: async (...command) => {
      const client = createClient({ url, RESP: 2, ...(settings['requirepass'] && { password: settings['requirepass'] }), socket: { reconnectStrategy: false } })
      client.on('error', () => undefined) // the command rejects
      await client.connect()
      try {
        return await client.sendCommand(command)
      } finally {
        client.destroy()
      }
    },
    pauseWhile: async (work) => {
      signal('SIGSTOP')
      try {
        return await work()
      } finally {
        signal('SIGCONT')
      }
    },
    restart: async (changed = {}) => {
      await kill()
      server = await startServer({ ...first, ...changed })
    },
    remove: async () => {
      await kill()
      unmount?.()
      rmSync(dir, { recursive: true, maxRetries: 5 }) // a child that rewrites the file may end a moment later
    },
  }
}
