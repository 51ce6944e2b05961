/**
 * Relays that are processes of their own: the command as it was built, over a spool.
 * Invariant: each ends at the latest with this process; one that ends unasked is told about.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'

/** The built command. */
export const COMMAND = join(process.cwd(), 'dist/relay/cli.js')

/** How long a relay may take from its start until it listens, and from SIGTERM to its end, milliseconds: a machine may be busy. */
const START_MS = 30_000
const STOP_MS = 30_000

/** Between the end of a relay and its next start by a supervisor, milliseconds. */
const AGAIN_MS = 200

/** How a relay is started. */
export interface RelaySettings {
  /** By what it is told apart. */
  name: string
  port: number
  env: Record<string, string>
  /** The command. Default: the built one. */
  file?: string
  /** Flags of Node. */
  flags?: readonly string[]
  /** A program and its words that start Node in their turn. */
  wrap?: readonly string[]
  /** Who waits for it starts it again where it ended before it listened, as a supervisor does: its store may have been away. */
  isSupervised?: boolean
}

/** What a process takes of the machine. */
export interface Usage {
  /** Resident memory. */
  bytes: number
  /** Computed so far, by all of its threads. */
  cpuMs: number
}

/** A relay that runs, dies and comes back. */
export interface Relay {
  readonly name: string
  /** Where a page posts to. */
  readonly url: URL
  /** Resolves once it listens; rejects, with what it said, where it ended before. */
  ready(): Promise<void>
  /** `kill -9`; resolves, once the process is gone, to when it was sent, in milliseconds since 1970. */
  kill(): Promise<number>
  /** A new process on the same port, in place of the one that is gone. */
  restart(): void
  /** SIGTERM; resolves to its exit code. */
  stop(): Promise<number | null>
  /** Resolves to its exit code once it has ended by itself. */
  ended(): Promise<number | null>
  /** Of the process that runs. */
  pid(): number
  /** What the process takes of the machine; undefined where the system does not say. */
  usage(): Usage | undefined
  /** What its processes logged as errors, and what they wrote to stderr. */
  errors(): string[]
  /** What it did unasked. */
  problems(): string[]
}

/** A port that nobody listens at, now. */
export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer().on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => (typeof address === 'object' && address ? resolve(address.port) : reject(new Error('no port'))))
    })
  })

/** A line of the log; empty where it is none, as of a process that was killed while it wrote. */
const parseLine = (line: string): Record<string, unknown> => {
  try {
    return Object(JSON.parse(line))
  } catch {
    return {}
  }
}

/** In which Linux counts a process's time, milliseconds (`getconf CLK_TCK` is 100 on every machine of today). */
const TICK_MS = 10

interface Process {
  child: ChildProcess
  ended: Promise<number | null>
  listening: Promise<void>
  hasListened: boolean
}

/** Starts a relay, and does not wait for it. */
export const startRelay = ({ name, port, env, file = COMMAND, flags = [], wrap = [], isSupervised = false }: RelaySettings): Relay => {
  const errors: string[] = []
  const problems: string[] = []
  let isAsked = false

  const hearLog = (line: string, hearListening: () => void): void => {
    const { message, level } = parseLine(line)
    if (message === 'listening') hearListening()
    if (level === 'error') errors.push(String(message))
  }

  const start = (): Process => {
    isAsked = false
    const [program = process.execPath, ...words] = [...wrap, process.execPath, ...flags, file, 'serve']
    const child = spawn(program, words, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'], PRISTO_LOG_FORMAT: 'json', PRISTO_ADMIN_PORT: '0', PORT: String(port), ...env },
    })
    const killNow = (): void => void child.kill('SIGKILL')
    process.once('exit', killNow)
    const ended = new Promise<number | null>((resolve) =>
      child.once('close', (code, signal) => {
        process.off('exit', killNow)
        if (!isAsked && !(isSupervised && !started.hasListened)) problems.push(`${name} ended unasked, with ${code ?? signal}`)
        resolve(code)
      }),
    )
    const listening = new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${name} did not listen within ${START_MS} ms\n${errors.join('\n')}`)), START_MS)
      const settle = (end: () => void): void => {
        clearTimeout(late)
        end()
      }
      createInterface(child.stdout).on('line', (line) => hearLog(line, () => settle(resolve)))
      createInterface(child.stderr).on('line', (line) => void errors.push(line))
      void ended.then(() => settle(() => reject(new Error(`${name} ended before it listened\n${errors.join('\n')}`))))
    })
    const started: Process = { child, ended, listening, hasListened: false }
    listening.then(
      () => (started.hasListened = true),
      () => undefined, // of one that was killed before anybody waited for it
    )
    return started
  }

  let running = start()

  const ready = async (): Promise<void> => {
    const waitedFor = running
    try {
      await waitedFor.listening
    } catch (error) {
      if (!isSupervised || isAsked || waitedFor.child.exitCode === null) throw error
      await wait(AGAIN_MS)
      if (running === waitedFor) running = start()
      await ready()
    }
  }

  return {
    name,
    url: new URL(`http://127.0.0.1:${port}/pristo`),
    ready,
    kill: async () => {
      isAsked = true
      const at = Date.now()
      running.child.kill('SIGKILL')
      await running.ended
      return at
    },
    restart: () => {
      running = start()
    },
    stop: async () => {
      isAsked = true
      running.child.kill('SIGTERM')
      const late = setTimeout(() => {
        problems.push(`${name} did not end within ${STOP_MS} ms of SIGTERM`)
        running.child.kill('SIGKILL')
      }, STOP_MS)
      const code = await running.ended
      clearTimeout(late)
      return code
    },
    ended: () => {
      isAsked = true
      return running.ended
    },
    pid: () => running.child.pid ?? 0,
    usage: () => {
      const { pid } = running.child
      try {
        const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
        const [, user, system] = /\) \S(?: \S+){10} (\d+) (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? []
        return { bytes: Number(kilobytes) * 1024, cpuMs: (Number(user) + Number(system)) * TICK_MS }
      } catch {
        return undefined // no Linux, or gone
      }
    },
    errors: () => [...errors],
    problems: () => [...problems],
  }
}
