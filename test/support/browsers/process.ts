/**
 * Processes that end as a whole.
 * Invariant: each leads a group of its own, which its children join; none outlives this process.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'

/** Starts a program. Its file descriptor 3 is a pipe to us; the rest of what it says is lost. */
export const start = (file: string, args: string[], env: Record<string, string> = {}): ChildProcess => {
  const child = spawn(file, args, { detached: true, stdio: ['ignore', 'ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } })
  const end = (): void => kill(child)
  process.once('exit', end)
  child.once('exit', () => process.off('exit', end))
  return child
}

const isOver = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode !== null || signalCode !== null

const kill = (child: ChildProcess): void => {
  if (child.pid !== undefined && !isOver(child)) process.kill(-child.pid, 'SIGKILL')
}

/** SIGKILL for the whole group. Resolves when it is gone. */
export const stop = async (child: ChildProcess): Promise<void> => {
  if (isOver(child)) return
  const ended = once(child, 'exit')
  kill(child)
  await ended
}

/** Starts a virtual display; `env` is what shows a program on it. Rejects where it ends at once. */
export const startDisplay = async (xvfb: string): Promise<{ screen: ChildProcess; env: { DISPLAY: string } }> => {
  const screen = start(xvfb, ['-displayfd', '3', '-screen', '0', '1024x768x24', '-nolisten', 'tcp'])
  const ended = once(screen, 'exit').then(() => Promise.reject(new Error(`${screen.spawnfile} ended at once`)))
  const [line] = await Promise.race([once(screen.stdio[3] as Readable, 'data'), ended])
  ended.catch(() => undefined) // later it may: that is `stop`
  return { screen, env: { DISPLAY: `:${String(line).trim()}` } }
}
