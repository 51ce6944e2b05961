/**
 * Cases × doors: runs every one, and prints what came of it.
 * Invariant: the last line is `N passed, N failed`; a door that cannot be opened has failed all of its cases,
 * and a runtime that this machine cannot have is named, which in CI is a failure.
 */
import { parseArgs } from 'node:util'
import { startPristoApi } from '../support/pristo-api.ts'
import { CANARY_EMAIL, CANARY_KEY, cases, FRIEND, MAX_REQUESTS, type Case } from './cases.ts'
import { doors, type Door, type Open } from './doors.ts'
import { scriptCases } from './script.ts'

const { values } = parseArgs({
  options: {
    door: { type: 'string', multiple: true, default: [''] },
    case: { type: 'string', multiple: true, default: [''] },
  },
})

/** The longest that a case may take, milliseconds: the hanging API is left after 8 000. */
const CASE_MS = 15_000

const isCI = !!process.env['CI'] && process.env['CI'] !== 'false'

/** What came of a case; a text says what went wrong, or why it was not run. */
type Verdict = { kind: 'passed' } | { kind: 'failed' | 'not for it'; why: string }

/** The outcome of a door's cases, in their order. */
interface Column {
  door: Door
  verdicts: Verdict[]
  seconds: number
}

const toVerdict = (error: unknown): Verdict => ({ kind: 'failed', why: error instanceof Error ? (error.stack ?? error.message) : String(error) })

const within = <T>(work: Promise<T>): Promise<T> => {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not over after ${CASE_MS} ms`)), CASE_MS)
  })
  return Promise.race([work, limit]).finally(() => clearTimeout(timer))
}

const matches = (text: string, parts: readonly string[]): boolean => parts.some((part) => text.toLowerCase().includes(part.toLowerCase()))

/** The last fact of every door, which no case asks for. */
const SILENCE = 'neither key nor email is in what it prints'

/** The cases of one door, one after the other: each has the API to itself. */
const runDoor = async (door: Door, chosen: readonly Case[]): Promise<Column> => {
  const began = Date.now()
  const api = await startPristoApi({ apiKey: CANARY_KEY })
  let open: Open | undefined
  const verdicts: Verdict[] = []
  try {
    const { line, said } = (open = await door.open({
      PRISTO_API_KEY: api.apiKey,
      PRISTO_POPULATION_ID: api.populationId,
      PRISTO_BASE_URL: api.url,
      PRISTO_ALLOWED_ORIGINS: FRIEND,
      PRISTO_RATE_LIMIT: `address=${MAX_REQUESTS}/600`,
      PORT: '0',
      HOST: '127.0.0.1',
    }))
    for (const { needs, run } of chosen) {
      const why = needs && door.cannot?.[needs]
      if (why !== undefined) verdicts.push({ kind: 'not for it', why: `${needs}: ${why}` })
      else verdicts.push(await within(run({ ...line, api })).then((): Verdict => ({ kind: 'passed' }), toVerdict))
      api.clear()
    }
    const isSilent = !said().includes(CANARY_KEY) && !said().includes(CANARY_EMAIL)
    verdicts.push(isSilent ? { kind: 'passed' } : { kind: 'failed', why: 'a secret is in what it printed' })
  } catch (error) {
    while (verdicts.length <= chosen.length) verdicts.push(toVerdict(error))
  }
  await open?.stop().catch((error: unknown) => console.error(`${door.name} could not be stopped: ${error}`))
  await api.close()
  return { door, verdicts, seconds: (Date.now() - began) / 1000 }
}

const MARKS = { passed: '✓', failed: '✗', 'not for it': '–' } as const

const printTable = (titles: readonly string[], columns: readonly Column[]): void => {
  const width = Math.max(...titles.map(({ length }) => length))
  columns.forEach(({ door, seconds }, place) => console.log(`${' '.repeat(width)}  ${'│ '.repeat(place)}${door.name} (${seconds.toFixed(1)} s)`))
  titles.forEach((title, row) => console.log(`${title.padEnd(width)}  ${columns.map(({ verdicts }) => MARKS[verdicts[row]?.kind ?? 'failed']).join(' ')}`))
  console.log('')
  for (const { door, verdicts } of columns) {
    const reasons = new Map<string, string[]>() // a door that did not open has one for all of its cases
    verdicts.forEach((verdict, row) => {
      if (verdict.kind !== 'passed') reasons.set(verdict.why, [...(reasons.get(verdict.why) ?? []), `${MARKS[verdict.kind]} ${titles[row]}`])
    })
    for (const [why, [first, ...more]] of reasons) {
      console.log(`${door.name}: ${first}${more.length > 2 ? `, and ${more.length} more` : more.map((title) => ` ${title}`).join('')}`)
      console.log(`    ${why.replaceAll('\n', '\n    ')}`)
    }
  }
}

const main = async (): Promise<boolean> => {
  const began = Date.now()
  const wanted = doors.filter(({ name }) => matches(name, values.door))
  const missing = wanted.filter(({ lacks }) => lacks?.() !== undefined)
  const chosen = [...scriptCases, ...cases].filter(({ title }) => matches(title, values.case))
  const columns = await Promise.all(wanted.filter((door) => !missing.includes(door)).map((door) => runDoor(door, chosen)))

  printTable([...chosen.map(({ title }) => title), SILENCE], columns)
  for (const { name, lacks } of missing) console.log(`${name}: not tested, because there is ${lacks?.()}`)
  const count = (kind: Verdict['kind']): number => columns.flatMap(({ verdicts }) => verdicts).filter((verdict) => verdict.kind === kind).length
  const failed = count('failed') + (isCI ? missing.length : 0) + (wanted.length && chosen.length ? 0 : 1)
  const skipped = isCI ? 0 : missing.length
  console.log(`${wanted.length} doors in ${((Date.now() - began) / 1000).toFixed(1)} s`)
  console.log(`${count('passed')} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`)
  return failed === 0
}

// What a broken door left behind must not keep the process.
process.exit((await main()) ? 0 : 1)
