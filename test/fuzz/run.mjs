// @ts-check
/**
 * Throws requests of every kind at the relay, in virtual time: `node test/fuzz/run.mjs --requests 100000`.
 *
 *   --requests N   so many, in seeds of 100 (100 000)
 *   --from S       from this seed on (1)
 *   --seed S       this one only, step by step
 *   --jobs N       threads (2)
 *   --mutants      breaks the relay on purpose, one way after the other, and shows which request notices (--only-mutant text)
 *
 * Ends with `N passed, N failed`. A request that fails is printed with its seed.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'
import * as esbuild from 'esbuild'
import { breaking } from '../support/breaking.mjs'
import { mutants } from './mutants.mjs'

/** @typedef {import('../support/breaking.mjs').Mutant} Mutant */
/** @typedef {import('./fuzz.ts').Failure} Failure */

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Seeds that a thread takes at once. */
const CHUNK = 5

/**
 * How much more a thread may hold at the end than after a tenth of its work: -0.9 to 0.9 MB (measured 2026-11).
 * A relay that kept the keys of 50 000 requests for ever, which are the smallest thing to keep, holds 2 MB more.
 */
const HEAP_GROWTH_BYTES = 1_500_000

/**
 * Bundles the fuzzer with the relay in it.
 * @param {string} folder
 * @param {Mutant} [mutant]
 * @returns {Promise<string>} the file
 */
const build = async (folder, mutant) => {
  const seen = { isDone: false }
  const outfile = join(folder, `${mutant ? mutant.name.replace(/\W+/g, '-') : 'true'}.mjs`)
  await esbuild.build({
    absWorkingDir: root,
    entryPoints: ['test/fuzz/fuzz.ts'],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    plugins: mutant ? [breaking(mutant, seen)] : [],
    logLevel: 'silent',
  })
  if (mutant && !seen.isDone) throw new Error(`mutant "${mutant.name}": ${mutant.file} is not in the bundle`)
  return outfile
}

/**
 * @param {string} file
 * @returns {Promise<typeof import('./fuzz.ts')>}
 */
const load = (file) => import(pathToFileURL(file).href)

/** What this thread holds, in bytes, once the garbage is gone. */
const measureHeap = () => {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  return getHeapStatistics().used_heap_size
}

/** What a thread does: chunks of seeds, and its heap measured after a tenth of them and at the end. */
const work = async () => {
  const { fuzz } = await load(workerData.file)
  parentPort?.on('message', async (/** @type {number[] | 'measure'} */ task) => {
    if (task === 'measure') return parentPort?.postMessage({ heapBytes: measureHeap() })
    /** @type {Failure[]} */
    const failures = []
    /** @type {Record<string, number>} */
    const counts = {}
    for (const seed of task) {
      const report = await fuzz(seed)
      failures.push(...report.failures)
      for (const [key, value] of Object.entries(report.counts)) counts[key] = (counts[key] ?? 0) + value
    }
    parentPort?.postMessage({ seeds: task.length, failures, counts })
  })
}

/**
 * One thread: takes seeds while `next` has some.
 * @param {string} file
 * @param {{ share: number, next: () => number[], hear: (report: { failures: Failure[], counts: Record<string, number> }) => void }} plan `share`: seeds that it will get, about
 * @returns {Promise<number>} by how many bytes its heap grew after the first tenth
 */
const runThread = async (file, { share, next, hear }) => {
  const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { file } })
  /** @param {unknown} task */
  const ask = (task) =>
    new Promise((resolve, reject) => {
      worker.once('error', reject).once('message', (answer) => {
        worker.off('error', reject)
        resolve(answer)
      })
      worker.postMessage(task)
    })
  let done = 0
  let early = 0
  for (let seeds = next(); seeds.length; seeds = next()) {
    hear(await ask(seeds))
    done += seeds.length
    if (!early && done >= share / 10) early = (await ask('measure')).heapBytes
  }
  const growth = early ? (await ask('measure')).heapBytes - early : 0
  await worker.terminate()
  return growth
}

/**
 * @param {string} file
 * @param {{ from: number, count: number, jobs: number, isEnough?: (failures: Failure[]) => boolean }} plan
 */
const runSeeds = async (file, { from, count, jobs, isEnough = () => false }) => {
  /** @type {Failure[]} */
  const failures = []
  /** @type {Record<string, number>} */
  const counts = {}
  let seed = from
  const next = () => {
    if (isEnough(failures)) return []
    const seeds = Array.from({ length: Math.min(CHUNK, from + count - seed) }, (_, nth) => seed + nth)
    seed += seeds.length
    return seeds
  }
  const hear = (/** @type {{ failures: Failure[], counts: Record<string, number> }} */ report) => {
    failures.push(...report.failures)
    for (const [key, value] of Object.entries(report.counts)) counts[key] = (counts[key] ?? 0) + value
  }
  const growths = await Promise.all(Array.from({ length: jobs }, () => runThread(file, { share: count / jobs, next, hear })))
  failures.sort((a, b) => a.seed - b.seed || a.nth - b.nth)
  return { failures, counts, growthBytes: Math.max(...growths), seeds: seed - from }
}

/** @param {Failure} failure */
const describe = ({ seed, nth, rule, story }) => `\n"${rule}" is broken by request ${nth} of seed ${seed} (--seed ${seed}):\n  ${story}`

/**
 * @param {string} folder
 * @param {{ from: number, count: number, jobs: number, wanted: string }} plan
 */
const runMutants = async (folder, { wanted, ...plan }) => {
  let survived = 0
  for (const mutant of mutants.filter(({ name }) => name.includes(wanted))) {
    const made = await build(folder, mutant).catch((/** @type {Error} */ { message }) => ({ fault: message.split('\n').find((line) => line.includes('mutant')) ?? message }))
    if (typeof made !== 'string') {
      survived++
      console.log(made.fault)
      continue
    }
    const { failures, growthBytes, seeds } = await runSeeds(made, { ...plan, isEnough: (failures) => failures.length > 0 })
    const [first] = failures
    const isFat = growthBytes > HEAP_GROWTH_BYTES
    if (!first && !isFat) survived++
    const how = first ? `caught by request ${first.nth} of seed ${first.seed}: ${first.rule}` : isFat ? `caught by the heap: ${growthBytes} bytes more` : `SURVIVED ${seeds} seeds; the heap had ${growthBytes} bytes more`
    console.log(`${mutant.name.padEnd(50)} ${how}`)
  }
  return survived
}

/** @param {string} folder */
const main = async (folder) => {
  const { values } = parseArgs({
    options: {
      requests: { type: 'string', default: '100000' },
      from: { type: 'string', default: '1' },
      seed: { type: 'string' },
      jobs: { type: 'string', default: '2' },
      mutants: { type: 'boolean', default: false },
      'only-mutant': { type: 'string', default: '' },
    },
  })
  const file = await build(folder)
  const { fuzz, PER_SEED } = await load(file)
  if (values.seed !== undefined) {
    const { failures, log } = await fuzz(Number(values.seed), { isLogged: true })
    console.log(log.join('\n'))
    for (const failure of failures) console.log(describe(failure))
    console.log(`${PER_SEED - failures.length} passed, ${failures.length} failed`)
    return failures.length === 0
  }
  const plan = { from: Number(values.from), count: Math.ceil(Number(values.requests) / PER_SEED), jobs: Number(values.jobs) }
  if (values.mutants) return (await runMutants(folder, { ...plan, wanted: values['only-mutant'] })) === 0

  const startedAt = performance.now()
  const { failures, counts, growthBytes, seeds } = await runSeeds(file, plan)
  const seconds = (performance.now() - startedAt) / 1000
  for (const failure of failures.slice(0, 10)) console.log(describe(failure))
  if (failures.length > 10) console.log(`\n… and ${failures.length - 10} more`)
  const requests = seeds * PER_SEED
  console.log(`${requests} requests in ${seconds.toFixed(1)} s (${Math.round(requests / seconds)} a second), answered ${JSON.stringify(counts)}`)
  const isFat = growthBytes > HEAP_GROWTH_BYTES
  console.log(`heap from a tenth of the run to its end: ${growthBytes} bytes more; allowed are ${HEAP_GROWTH_BYTES}`)
  console.log(`${requests - failures.length + (isFat ? 0 : 1)} passed, ${failures.length + (isFat ? 1 : 0)} failed`)
  return failures.length === 0 && !isFat
}

if (isMainThread) {
  const folder = mkdtempSync(join(tmpdir(), 'pristo-fuzz-'))
  try {
    if (!(await main(folder))) process.exitCode = 1
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
} else {
  await work()
}
