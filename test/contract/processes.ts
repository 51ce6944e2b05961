/**
 * Servers that are programs of their own.
 * Invariant: each leads a process group that ends with it, and at the latest with this process.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'

/** A program that serves. */
export interface Program {
  /** The origin that it says it listens at. */
  origin: string
  /** All that it has said so far. */
  said(): string
  stop(): Promise<void>
}

/** How long a server may take from its start to its first line, milliseconds. */
const START_MS = 20_000

/** How long it may take to end, milliseconds. */
const STOP_MS = 3_000

/** Starts a program, and waits until it names the address that it listens at. Rejects, with what it said, where it does not. */
export const startProgram = async (file: string, args: readonly string[], env: Record<string, string>, cwd?: string): Promise<Program> => {
  const child = spawn(file, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env }, ...(cwd !== undefined && { cwd }) })
  let text = ''
  const kill = (signal: NodeJS.Signals): void => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) process.kill(-child.pid, signal)
  }
  const killNow = (): void => kill('SIGKILL')
  process.once('exit', killNow)
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve())).finally(() => process.off('exit', killNow))

  const stop = async (): Promise<void> => {
    kill('SIGTERM')
    const late = setTimeout(killNow, STOP_MS)
    await ended
    clearTimeout(late)
  }

  const port = new Promise<string>((resolve, reject) => {
    const fail = (why: string): void => reject(new Error(`${file} ${args.join(' ')}: ${why}\n${text}`))
    const late = setTimeout(() => fail(`no address within ${START_MS} ms`), START_MS)
    const hear = (chunk: Buffer): void => {
      text += String(chunk)
      const found = /http:\/\/(?:localhost|127\.0\.0\.1):(\d+)/.exec(text)?.[1]
      if (found === undefined) return
      clearTimeout(late)
      resolve(found)
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.once('error', ({ message }) => fail(message))
    void ended.then(() => (clearTimeout(late), fail('it ended at once')))
  })
  port.catch(() => undefined) // of a program that ended later, when nobody waits any more
  try {
    return { origin: `http://127.0.0.1:${await port}`, said: () => text, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Runs a program to its end. Rejects, with what it said, where it fails. */
export const runProgram = async (file: string, args: readonly string[], env: Record<string, string>, cwd: string): Promise<void> => {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env }, cwd })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += String(chunk)))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${code}\n${text}`)
}
