// @vitest-environment node
import { expect, it } from 'vitest'
import { createLog, LEVELS, type Format, type Level } from '../../../src/relay/cli/log.ts'
import { NOW } from '../harness.ts'

const setUp = (format: Format, level: Level) => {
  const lines: string[] = []
  return { lines, log: createLog({ write: (line) => void lines.push(line), format, level, now: () => NOW }) }
}

it('a line for a program is JSON, a line for a person is not, and neither can be broken into two', () => {
  const facts = { status: 400, code: 'invalid_event', id: undefined, reason: 'a "b"\nc' }
  const forProgram = setUp('json', 'info')
  forProgram.log('warn', 'event dropped', facts)
  expect(forProgram.lines).toEqual([
    '{"time":"2026-11-23T12:00:00.000Z","level":"warn","message":"event dropped","status":400,"code":"invalid_event","reason":"a \\"b\\"\\nc"}',
  ])
  const forPerson = setUp('text', 'info')
  forPerson.log('warn', 'event dropped', facts)
  expect(forPerson.lines).toEqual(['2026-11-23T12:00:00.000Z warn  event dropped status=400 code=invalid_event reason="a \\"b\\"\\nc"'])
})

it('says what is at the level or above it', () => {
  const said = LEVELS.map((level) => {
    const { log, lines } = setUp('text', level)
    LEVELS.forEach((each) => log(each, 'x'))
    return lines.length
  })
  expect(said).toEqual([4, 3, 2, 1])
})
