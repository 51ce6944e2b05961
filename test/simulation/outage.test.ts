// @vitest-environment node
/** An hour in which the API takes no key, and a rotation of keys: the real tag and the real relay, in virtual time. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildSync } from 'esbuild'
import { afterAll, describe, expect, it } from 'vitest'
import { NEW_KEY, OLD_KEY } from './api.ts'
import { compile } from './checker.ts'
import type { Action, Scenario, Step } from './scenario.ts'
import { simulate } from './simulation.ts'

const folder = mkdtempSync(join(tmpdir(), 'pristo-outage-'))
afterAll(() => rmSync(folder, { recursive: true }))

const tag = join(folder, 'tag.js')
buildSync({ entryPoints: ['src/slim.ts'], outfile: tag, bundle: true, format: 'iife', target: 'es2021' })
const script = compile(tag)

const MINUTE_MS = 60_000

/** What a visitor does in five minutes, over and over: pages that come, go out of sight, and go. */
const round: Action[] = [
  { do: 'track', tab: 0, count: 2, size: 'small' },
  { do: 'navigate', tab: 0 },
  { do: 'track', tab: 0, count: 1, size: 'small' },
  { do: 'hide', tab: 0 },
  { do: 'show', tab: 0 },
]

const at = (action: Action, afterMs = 1_000): Step => ({ afterMs, action })
const visits = (rounds: number): Step[] => Array.from({ length: rounds }, () => round.map((action) => at(action, MINUTE_MS))).flat()
const login = [at({ do: 'identify', tab: 0, person: 0, details: 'full' }), at({ do: 'track', tab: 0, count: 3, size: 'small' })]

/** Runs it; seconds and text of each line, and what became of each event by the last five characters of its id. */
const play = async (scenario: Scenario) => {
  const { violation, log } = await simulate(scenario, script, true)
  const lines = log.map((line) => ({ s: Number(line.slice(0, 10)), text: line.slice(11) }))
  const matching = (pattern: RegExp) => lines.flatMap(({ s, text }) => (pattern.test(text) ? [{ s, id: pattern.exec(text)?.[1] ?? '' }] : []))
  const tracked = matching(/ track event \d+ = (\S+)$/)
  const stored = matching(/^api +stored (\S+) /)
  return { violation, tracked, stored, refused: matching(/^api +api locks out: (\S+)$/) }
}

const ids = (found: { id: string }[]): string[] => found.map(({ id }) => id).sort()

describe('an API that answers 401', { timeout: 20_000 }, () => {
  it('for an hour loses nothing: every event is delivered once the key is mended', async () => {
    const { violation, tracked, stored, refused } = await play({
      seed: 1,
      steps: [...login, at({ do: 'api', fault: 'locks out', chance: 1, forMs: 60 * MINUTE_MS }, 10_000), ...visits(12), at({ do: 'show', tab: 0 }, 5 * MINUTE_MS)],
    })
    expect(violation).toBeUndefined()
    expect(tracked).toHaveLength(3 + 12 * 3)
    const [first, last] = [refused[0]?.s ?? 0, refused.at(-1)?.s ?? 0]
    expect(last - first).toBeGreaterThan(50 * 60)
    expect(stored.filter(({ s }) => s >= first && s <= last)).toEqual([])
    expect(ids(stored)).toEqual(ids(tracked))
  })

  it('to the new key first, and to the old one later, delivers every event at once, and once', async () => {
    const { violation, tracked, stored, refused } = await play({
      seed: 2,
      keys: [NEW_KEY, OLD_KEY],
      steps: [
        at({ do: 'api', fault: 'knows no new key', chance: 1, forMs: 10 * MINUTE_MS }),
        ...login,
        ...visits(2),
        at({ do: 'api', fault: 'knows no old key', chance: 1, forMs: 10 * MINUTE_MS }),
        ...visits(2),
      ],
    })
    expect(violation).toBeUndefined()
    expect(tracked).toHaveLength(3 + 4 * 3)
    // Before the rotation each event costs a refused call, after it none does.
    expect(refused).toHaveLength(3 + 2 * 3)
    expect(refused.at(-1)?.s).toBeLessThan(10 * 60)
    expect(ids(stored)).toEqual(ids(tracked))
    for (const { id, s } of tracked) expect((stored.find((one) => one.id === id)?.s ?? Infinity) - s).toBeLessThan(10)
  })
})
