// @vitest-environment node
import { expect, it } from 'vitest'
import { createReadiness } from '../../../src/relay/cli/readiness.ts'

const REFUSED = { id: '1', outcome: 'retry', code: 'upstream_config' } as const

const setUp = (answers: boolean[] = []) => {
  let nowMs = 1_000_000
  const asked: number[] = []
  const readiness = createReadiness({ ask: () => Promise.resolve(asked.push(nowMs) > 0 && answers.shift() === true), now: () => nowMs })
  readiness.started()
  return { ...readiness, asked, pass: (ms: number) => (nowMs += ms) }
}

const settle = () => new Promise((resolve) => setImmediate(resolve))

it('is not ready before it listens, and not once it stops', () => {
  const readiness = createReadiness({ ask: () => Promise.resolve(true), now: () => 0 })
  expect(readiness.state()).toMatchObject({ ready: false, reason: 'starting' })
  readiness.started()
  expect(readiness.state()).toEqual({ ready: true })
  readiness.stopping()
  readiness.started()
  expect(readiness.state()).toMatchObject({ ready: false, reason: 'stopping' })
})

it('asks the API itself, at most every 10 s, as a relay that is not ready gets no events that could tell', async () => {
  const { state, onOutcome, asked, pass } = setUp([false, true])
  expect(state().ready).toBe(true)
  expect(asked).toEqual([])
  onOutcome(REFUSED)
  await settle()
  for (let probe = 0; probe < 4; probe++, pass(2_500)) {
    expect(state()).toMatchObject({ ready: false, reason: 'upstream_config' })
    await settle()
  }
  expect(asked).toEqual([1_000_000])
  state()
  await settle()
  expect(state()).toEqual({ ready: true })
  expect(asked).toEqual([1_000_000, 1_010_000])
})

it('stays ready where the API takes the key after all: anybody can send an event whose contact it does not know', async () => {
  const { state, onOutcome, asked, pass } = setUp([true, true, false])
  for (let n = 0; n < 2; n++, pass(10_000)) {
    onOutcome(REFUSED)
    await settle()
    onOutcome(REFUSED)
    expect(state()).toEqual({ ready: true })
  }
  expect(asked).toEqual([1_000_000, 1_010_000])
  state() // the doubt that came within the 10 s is not forgotten
  await settle()
  expect(state().ready).toBe(false)
})

it('hears nothing about the settings where an event is refused for what it holds, or the API is down', async () => {
  const { state, onOutcome } = setUp()
  onOutcome({ id: '1', outcome: 'rejected', code: 'invalid_event', status: 400 })
  onOutcome({ id: '1', outcome: 'retry', code: 'unavailable' })
  expect(state().ready).toBe(true)
  onOutcome(REFUSED)
  await settle()
  onOutcome({ id: '1', outcome: 'retry', code: 'unavailable' })
  onOutcome({ id: '1', outcome: 'rejected', code: 'contact_mismatch' })
  expect(state().ready).toBe(false)
  onOutcome({ id: '1', outcome: 'stored' })
  expect(state().ready).toBe(true)
})

it('asks again after a clock that was set back', async () => {
  const { state, onOutcome, asked, pass } = setUp([false, false])
  onOutcome(REFUSED)
  state()
  pass(-3_600_000)
  state()
  await settle()
  expect(asked.length).toBe(2)
})

it('is not ready while the oldest event in the spool is too old, or the spool cannot be read, and looks every 10 s', async () => {
  let nowMs = 1_000_000
  const stats = [{ oldestAt: 1_000_000 - 60_001 }, undefined, { oldestAt: 1_020_000 - 60_000 }, { oldestAt: undefined }]
  let looks = 0
  const look = async () => stats[looks++] ?? Promise.reject(new Error('disk'))
  const readiness = createReadiness({ ask: () => Promise.resolve(true), spool: { stats: look, maxAgeMs: 60_000 }, now: () => nowMs })
  readiness.started()
  const states = []
  for (const _ of stats) {
    await settle()
    const state = readiness.state()
    states.push(state.ready || state.reason)
    expect(readiness.state()).toEqual(state)
    nowMs += 10_000
    readiness.state()
  }
  expect(states).toEqual(['spool_old', 'spool_failed', true, true])
  expect(looks).toBe(5)
})
