/** A Worker in workerd, the runtime of Cloudflare, as `wrangler` would bundle and start it. */
import * as esbuild from 'esbuild'
import { Miniflare, type SharedOptions, type WorkerOptions } from 'miniflare'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { Tag } from '../../src/relay/tag.ts'

/** A running Worker. */
export interface Workerd {
  /** The origin, such as `http://127.0.0.1:40123`. An imitation of Cloudflare's edge is in front: it asks for gzip or br itself, and decodes for whom it must. */
  readonly url: string
  /** The same without the edge. */
  readonly directUrl: string
  /** That of another Worker of the same code, where one was asked for. */
  readonly otherUrl: string | undefined
  /** Everything that the Worker wrote to its console. */
  logs(): string
  /** Kills workerd, whatever it does. */
  close(): Promise<void>
}

/** For a Worker that serves no script. */
export const NO_TAG: Tag = { text: '', brotli: '', gzip: '', etag: '', integrity: '' }

/** Workers by their names. */
export const MAIN = 'main'
const OTHER = 'other'

const root = fileURLToPath(new URL('../..', import.meta.url))
const rooms = ['cloudflare', 'env', 'front', 'tag'].map((room) => [`pristo/relay/${room}`, `${root}src/relay/${room}.ts`])
const alias = { ...Object.fromEntries(rooms), 'pristo/relay/object': `${root}src/relay/spool/object.ts`, 'pristo/relay': `${root}src/relay/index.ts` }

/**
 * Bundles the code of a Worker, in which the package's source stands for the package, and starts it on a port of its own.
 * Rejects where it does not compile, or where workerd refuses it. `other`: how another Worker of the same code differs.
 */
export const startWorkerd = async (code: string, tag: Tag, options: Partial<WorkerOptions & SharedOptions> = {}, other?: Partial<WorkerOptions>): Promise<Workerd> => {
  const { outputFiles } = await esbuild.build({
    stdin: { contents: code, resolveDir: root, loader: 'js' },
    alias,
    define: { PRISTO_TAG: JSON.stringify(tag) },
    bundle: true,
    format: 'esm',
    target: 'es2022',
    write: false,
  })
  let logs = ''
  const worker: WorkerOptions = {
    name: MAIN,
    compatibilityDate: '2026-04-01',
    unsafeDirectSockets: [{ host: '127.0.0.1', port: 0 }],
    ...options,
    modules: [{ type: 'ESModule', path: 'worker.mjs', contents: outputFiles[0]?.text ?? '' }],
  }
  const miniflare = new Miniflare({
    handleRuntimeStdio: (...streams: Readable[]) => streams.forEach((stream) => stream.on('data', (chunk: unknown) => (logs += String(chunk)))),
    ...options,
    workers: other ? [worker, { ...worker, name: OTHER, ...other }] : [worker],
  })
  const { origin } = await miniflare.ready
  const direct = await miniflare.unsafeGetDirectURL(MAIN)
  const second = other && (await miniflare.unsafeGetDirectURL(OTHER))
  let closed: Promise<void> | undefined
  return { url: origin, directUrl: direct.origin, otherUrl: second?.origin, logs: () => logs, close: () => (closed ??= miniflare.dispose()) }
}
