/** Events are found in what each library really sends: bodies recorded in a browser, with the versions of `package.json` at 2026-11-24. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { PEERS } from './peers.mjs'
import { marksIn, PROTOCOLS } from './protocols.mjs'

interface Recorded {
  path: string
  marks: string[]
  text?: string
  base64?: string
}

const recorded: Record<string, Recorded> = JSON.parse(readFileSync(new URL('recorded.json', import.meta.url), 'utf8'))

const requestOf = ({ path, text = '', base64 }: Recorded) => ({ path, headers: {}, body: base64 === undefined ? Buffer.from(text) : Buffer.from(base64, 'base64') })

describe.each(PEERS.map(({ id }) => id))('%s', (id) => {
  const one = recorded[id]

  it('has its events found, in their order', () => {
    expect(one?.marks.length).toBeGreaterThan(0)
    expect(one && marksIn(id, requestOf(one))).toEqual(one?.marks)
  })

  it('has no event found in a request without one', () => {
    expect(marksIn(id, { path: '/settings', headers: {}, body: Buffer.alloc(0) })).toEqual([])
  })
})

// The relay answers for ours.
it.each(PEERS.filter(({ id }) => id !== 'pristo'))('$title is told that its events were taken', ({ id }) => {
  const one = recorded[id]
  expect(one && PROTOCOLS[id]?.answer(requestOf(one)).status).toBeOneOf([200, 202, 204])
})
