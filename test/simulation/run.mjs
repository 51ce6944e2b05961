// @ts-check
/**
 * Runs the simulation: `node test/simulation/run.mjs --seeds 1000`.
 *
 *   --seeds N        so many seeds (1000)
 *   --from S         from this one on (1)
 *   --seed S         this one only: shrunk, and replayed step by step
 *   --scenario FILE  the scenarios in this file, made like regressions.json, step by step where one fails
 *   --jobs N         threads (2)
 *   --only a,b       classes of faults to draw from; --without a,b leaves some out; --list names them
 *   --mutants        breaks the source on purpose, one way after the other, and shows which seed notices (--only-mutant text)
 *   --plain          the bundle as esbuild makes it, so that stack traces can be read
 */
import { rmSync, mkdtempSync, writeFileSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'
import * as esbuild from 'esbuild'
import { bundle, bundles } from '../../build.mjs'
import { breaking } from '../support/breaking.mjs'
import { mutants } from './mutants.mjs'

/** @typedef {import('../support/breaking.mjs').Mutant} Mutant */
/** @typedef {import('./checker.ts').Failure} Failure */
/** @typedef {{ checker: string, tag: string }} Build */

const root = fileURLToPath(new URL('../..', import.meta.url))
const here = fileURLToPath(new URL('.', import.meta.url))

/** Seeds that a thread takes at once. */
const CHUNK = 50

/**
 * Bundles the simulation (with the relay in it) and the script tag.
 * @param {string} folder
 * @param {{ isPlain: boolean, mutant?: Mutant }} how
 * @returns {Promise<Build>}
 */
const build = async (folder, { isPlain, mutant }) => {
  const name = mutant ? mutant.name.replace(/\W+/g, '-') : 'true'
  const seen = { isDone: false }
  const plugins = mutant ? [breaking(mutant, seen)] : []
  const checker = join(folder, `${name}.mjs`)
  const tag = join(folder, `${name}.js`)
  await esbuild.build({
    absWorkingDir: root,
    entryPoints: [join(here, 'checker.ts')],
    outfile: checker,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire('/');" },
    plugins,
    logLevel: 'silent',
  })
  const real = bundles.find(({ out }) => out === 'dist/pristo.slim.js') // a simulated page has no elements to watch
  if (!real) throw new Error('build.mjs has no script tag')
  if (mutant || isPlain) {
    await esbuild.build({ absWorkingDir: root, entryPoints: [real.entry], outfile: tag, bundle: true, format: 'iife', target: 'es2021', plugins, logLevel: 'silent' })
  } else {
    const { files } = await bundle(real)
    writeFileSync(tag, files.find(({ path }) => path.endsWith('.js'))?.contents ?? '')
  }
  if (mutant && !seen.isDone) throw new Error(`mutant "${mutant.name}": ${mutant.file} is in no bundle`)
  return { checker, tag }
}

/** @param {Build} made */
const load = async ({ checker, tag }) => {
  /** @type {typeof import('./checker.ts')} */
  const module = await import(pathToFileURL(checker).href)
  return { ...module, script: module.compile(tag) }
}

/** What a thread does: chunks of seeds, until it is told to stop. */
const work = async () => {
  const { made, names } = workerData
  const { check, script } = await load(made)
  parentPort?.on('message', async (/** @type {number[]} */ seeds) => {
    /** @type {Failure[]} */
    const failures = []
    /** @type {Record<string, number>} */
    const counts = {}
    for (const seed of seeds) {
      const verdict = await check(script, seed, names)
      if (verdict.failure) failures.push(verdict.failure)
      for (const [key, value] of Object.entries(verdict.counts)) counts[key] = (counts[key] ?? 0) + value
    }
    parentPort?.postMessage({ count: seeds.length, failures, counts })
  })
  parentPort?.postMessage({ count: 0, failures: [], counts: {} })
}

/**
 * Runs seeds in threads.
 * @param {Build} made
 * @param {{ from: number, count: number, jobs: number, names: string[], isEnough?: (failures: Failure[]) => boolean, onFailure?: (failure: Failure) => void, onProgress?: (done: number, failed: number) => void }} plan
 */
const runSeeds = async (made, { from, count, jobs, names, isEnough = () => false, onFailure, onProgress }) => {
  /** @type {Failure[]} */
  const failures = []
  /** @type {Record<string, number>} */
  const counts = {}
  let next = from
  let done = 0
  const end = from + count
  await Promise.all(
    Array.from({ length: Math.min(jobs, Math.ceil(count / CHUNK)) }, () =>
      new Promise((resolve, reject) => {
        const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { made, names } })
        worker.on('error', reject)
        worker.on('message', (report) => {
          done += report.count
          failures.push(...report.failures)
          report.failures.forEach((/** @type {Failure} */ failure) => onFailure?.(failure))
          for (const [key, value] of Object.entries(report.counts)) counts[key] = (counts[key] ?? 0) + Number(value)
          onProgress?.(done, failures.length)
          if (next >= end || isEnough(failures)) {
            void worker.terminate()
            return resolve(undefined)
          }
          const seeds = Array.from({ length: Math.min(CHUNK, end - next) }, (_, nth) => next + nth)
          next += seeds.length
          worker.postMessage(seeds)
        })
      }),
    ),
  )
  failures.sort((a, b) => a.seed - b.seed)
  return { done, failures, counts }
}

/** @param {Failure[]} failures */
const tally = (failures) => {
  /** @type {Map<string, Failure[]>} */
  const groups = new Map()
  for (const failure of failures) groups.set(failure.invariant, [...(groups.get(failure.invariant) ?? []), failure])
  for (const [invariant, group] of groups) {
    console.log(`\n${invariant}: ${group.length} seeds (${group.slice(0, 8).map(({ seed }) => seed).join(', ')}${group.length > 8 ? ', …' : ''})`)
    for (const { seed, story } of group.slice(0, 3)) console.log(`  seed ${seed}: ${story.slice(0, 300)}`)
  }
}

/**
 * Shrinks a seed's scenario and prints it step by step.
 * @param {Build} made
 * @param {number} seed
 * @param {string[]} names
 */
const show = async (made, seed, names) => {
  const { shrink, replay, script } = await load(made)
  const scenario = await shrink(script, seed, names)
  if (!scenario) return false
  const { log } = await replay(script, scenario)
  console.log(`\nseed ${seed}, shrunk to ${scenario.steps.length} steps:\n${JSON.stringify(scenario)}\n`)
  console.log(log.join('\n'))
  return true
}

/**
 * What once failed, by its scenario or, where it was not shrunk, by its seed; and what of it fails.
 * @param {Build} made
 * @param {string} file
 */
const replayRegressions = async (made, file = join(here, 'regressions.json')) => {
  const { replay, script, scenarioOf, classes } = await load(made)
  const kept = JSON.parse(readFileSync(file, 'utf8'))
  /** @type {{ story: string, log: string[] }[]} */
  const failures = []
  for (const { story, seed, scenario = scenarioOf(seed, Object.keys(classes)) } of kept) {
    const { violation, log } = await replay(script, scenario)
    if (violation) failures.push({ story, log })
  }
  return { failures, count: kept.length }
}

/**
 * @param {Build} made
 * @param {string} [file]
 */
const runRegressions = async (made, file) => {
  const { failures, count } = await replayRegressions(made, file)
  for (const { story, log } of failures) console.log(`\nregression "${story}":\n${log.join('\n')}`)
  return { passed: count - failures.length, failed: failures.length }
}

/**
 * The same seed twice: were the logs not the same, no seed could be replayed.
 * @param {Build} made
 * @param {number} seed
 * @param {string[]} names
 */
const checkDeterminism = async (made, seed, names) => {
  const { replay, scenarioOf, script } = await load(made)
  const [first, second] = [await replay(script, scenarioOf(seed, names)), await replay(script, scenarioOf(seed, names))]
  if (first.log.join('\n') !== second.log.join('\n')) throw new Error(`seed ${seed} ran in two ways`)
}

/**
 * @param {string} folder
 * @param {{ from: number, count: number, jobs: number, names: string[], wanted: string }} plan
 */
const runMutants = async (folder, { wanted, ...plan }) => {
  let survived = 0
  // A seed that the true source fails as well has noticed nothing.
  const { failures: known } = await runSeeds(await build(folder, { isPlain: true }), plan)
  const seeds = new Set(known.map(({ seed }) => seed))
  if (seeds.size) console.log(`the source as it is fails ${seeds.size} of these seeds, which do not count: ${[...seeds].slice(0, 10).join(', ')}`)
  const isNew = (/** @type {Failure} */ { seed }) => !seeds.has(seed)
  for (const mutant of mutants.filter(({ name }) => name.includes(wanted))) {
    const made = await build(folder, { isPlain: true, mutant }).catch((/** @type {Error} */ { message }) => message.split('\n').find((line) => line.includes('mutant')) ?? message)
    if (typeof made === 'string') {
      survived++
      console.log(made)
      continue
    }
    const { failures, done } = await runSeeds(made, { ...plan, isEnough: (failures) => failures.some(isNew) })
    const first = failures.find(isNew)
    // What takes 100 000 seeds to find was kept.
    const [regression] = first ? [] : (await replayRegressions(made)).failures
    if (!first && !regression) survived++
    const bySeed = first && `caught at seed ${first.seed}: ${first.story ? `${first.invariant}: ${first.story.slice(0, 110)}` : first.invariant}`
    console.log(`${mutant.name.padEnd(50)} ${bySeed ?? (regression ? `caught by the regression "${regression.story}"` : `SURVIVED ${done} seeds`)}`)
  }
  return survived
}

const main = async () => {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '1000' },
      from: { type: 'string', default: '1' },
      seed: { type: 'string' },
      scenario: { type: 'string' },
      jobs: { type: 'string', default: '2' },
      only: { type: 'string' },
      without: { type: 'string', default: '' },
      list: { type: 'boolean', default: false },
      mutants: { type: 'boolean', default: false },
      'only-mutant': { type: 'string', default: '' },
      plain: { type: 'boolean', default: false },
    },
  })
  const folder = mkdtempSync(join(tmpdir(), 'pristo-simulation-'))
  try {
    const made = await build(folder, { isPlain: values.plain })
    const { classes } = await load(made)
    const all = Object.keys(classes)
    const chosen = values.only?.split(',') ?? all
    const unknown = [...chosen, ...values.without.split(',').filter(Boolean)].find((name) => !all.includes(name) && name !== '')
    if (unknown !== undefined) throw new Error(`no class of faults is called ${unknown}; there are ${all.join(', ')}`)
    const names = chosen.filter((name) => name && !values.without.split(',').includes(name))
    if (values.list) return console.log(all.join('\n'))

    const plan = { from: Number(values.from), count: Number(values.seeds), jobs: Number(values.jobs), names }
    if (values.mutants) {
      if (await runMutants(folder, { ...plan, wanted: values['only-mutant'] })) process.exitCode = 1
      return
    }
    if (values.scenario !== undefined) {
      const { passed, failed } = await runRegressions(made, values.scenario)
      console.log(`${passed} passed, ${failed} failed`)
      if (failed) process.exitCode = 1
      return
    }
    if (values.seed !== undefined) {
      const failed = await show(made, Number(values.seed), names)
      console.log(failed ? '0 passed, 1 failed' : '1 passed, 0 failed')
      if (failed) process.exitCode = 1
      return
    }
    const regressions = await runRegressions(made)
    await checkDeterminism(made, plan.from, names)
    const startedAt = performance.now()
    let saidAt = startedAt
    const { done, failures, counts } = await runSeeds(made, {
      ...plan,
      // At once: it can be looked at while the others run.
      onFailure: ({ seed, invariant, story }) => console.log(`seed ${seed}, ${invariant}: ${story}`),
      onProgress: (done, failed) => {
        if (performance.now() - saidAt < 10_000) return
        saidAt = performance.now()
        console.log(`${done} of ${plan.count} seeds, ${failed} failed, ${Math.round((done / (saidAt - startedAt)) * 1000)} a second`)
      },
    })
    const seconds = (performance.now() - startedAt) / 1000
    console.log(`${done} seeds in ${seconds.toFixed(1)} s (${Math.round(done / seconds)} a second): ${JSON.stringify(counts)}`)
    const [first] = failures
    if (first) {
      tally(failures)
      await show(made, first.seed, names)
    }
    console.log(`${done - failures.length + regressions.passed} passed, ${failures.length + regressions.failed} failed`)
    if (failures.length + regressions.failed) process.exitCode = 1
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

await (isMainThread ? main() : work())
