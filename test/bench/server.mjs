// @ts-check
/** Starts the site that is measured (`intake.ts`), and asks it what came. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as esbuild from 'esbuild'

/** @typedef {import('./intake.ts').Commands} Commands */
/** @typedef {{ [Name in keyof Commands]: (...given: Parameters<Commands[Name]>) => Promise<Awaited<ReturnType<Commands[Name]>>> }} Asking */
/** @typedef {Asking & { origin: string, pid: number, close: () => Promise<void> }} Server */

const root = fileURLToPath(new URL('../..', import.meta.url))

/**
 * @param {string} folder with the scripts of the pages, in `node_modules` somewhere below the root
 * @returns {Promise<Server>}
 */
export const startServer = async (folder) => {
  const outfile = join(folder, 'intake.mjs')
  await esbuild.build({
    absWorkingDir: root,
    entryPoints: ['test/bench/intake.ts'],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'es2022',
    packages: 'external',
    logLevel: 'silent',
  })
  const child = fork(outfile, [folder, join(root, 'test/bench/node_modules')])
  const [{ origin }] = await once(child, 'message')

  /** @type {Map<number, { resolve: (value: never) => void, reject: (error: Error) => void }>} */
  const asked = new Map()
  let asking = 0
  child.on('message', (/** @type {{ number: number, value: never }} */ { number, value }) => {
    asked.get(number)?.resolve(value)
    asked.delete(number)
  })
  child.on('exit', (code) => {
    for (const { reject } of asked.values()) reject(new Error(`the site has ended, with ${code}; what it said is above`))
  })
  const ask = (/** @type {keyof Commands} */ name) => (/** @type {unknown} */ argument) =>
    new Promise((resolve, reject) => {
      asked.set(++asking, { resolve, reject })
      child.send({ number: asking, name, argument })
    })

  const close = async () => {
    if (!child.connected) return
    const ended = once(child, 'exit')
    child.disconnect()
    await ended
  }
  const asks = { weather: ask('weather'), clear: ask('clear'), arrivals: ask('arrivals'), requests: ask('requests'), arrived: ask('arrived') }
  return { ...(/** @type {Asking} */ (asks)), origin, pid: child.pid ?? 0, close }
}
