// @ts-check
/**
 * A recipe as a running app.
 * Invariant: programs see only the environment that is given to them, and none outlives the recipe that started it.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'

/** @typedef {{ cwd: string, env: Record<string, string | undefined> }} Place */

/** How long an app may take until it answers, milliseconds: many times what any of them needs. */
const START_MS = 30_000

/** Between two looks, milliseconds. */
const STEP_MS = 50

/**
 * Resolves once the question is answered with yes, and rejects, naming `what`, after 20 s.
 * @param {string} what
 * @param {() => boolean | Promise<boolean>} question
 * @param {number} [limitMs]
 */
export const until = async (what, question, limitMs = 20_000) => {
  const end = Date.now() + limitMs
  while (!(await question())) {
    if (Date.now() > end) throw new Error(`waited ${limitMs} ms for ${what}`)
    await wait(STEP_MS)
  }
}

/** A port that is free now. Not every framework takes 0 for it; whoever takes it first makes the app end, and the test fail. */
export const findPort = async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return String(Object(address).port)
}

/**
 * @param {string[]} command
 * @param {Place} place
 */
const launch = ([file = '', ...args], place) => {
  // A group of its own: frameworks start helpers, and npm starts a shell.
  const child = spawn(file, args, { ...place, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  /** @type {Promise<number | null>} */
  const ended = new Promise((resolve, reject) => child.once('close', resolve).once('error', reject))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const kill = () => {
    try {
      if (child.pid) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // Nobody of the group is left.
    }
  }
  process.prependOnceListener('exit', kill) // before its folder is removed
  const over = ended.catch(() => null).finally(() => process.off('exit', kill))
  return { ended, over, kill, output: () => output }
}

/**
 * Runs a program to its end.
 * @param {string[]} command
 * @param {Place} place
 * @throws with all it said, where that is not 0
 */
export const run = async (command, place) => {
  const { ended, output } = launch(command, place)
  const code = await ended
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}:\n${output()}`)
}

/**
 * Starts a server; resolves once it answers, whatever that is.
 * @param {string[]} command
 * @param {string} url
 * @param {Place} place
 */
export const serve = async (command, url, place) => {
  const { over, kill, output } = launch(command, place)
  let isOver = false
  void over.then(() => (isOver = true))
  const stop = async () => {
    kill()
    await over
  }
  const answers = () => fetch(url).then((response) => response.text().then(() => true), () => isOver)
  await until(`an answer of ${url}`, answers, START_MS).catch((error) => stop().then(() => Promise.reject(error)))
  if (isOver) throw new Error(`${command.join(' ')} ended before it answered:\n${output()}`)
  return { output, stop }
}
