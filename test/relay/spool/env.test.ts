// @vitest-environment node
import { expect, it } from 'vitest'
import { openSpool } from '../../../src/relay/spool.ts'
import { readSpool } from '../../../src/relay/spool/env.ts'

it('reads which spool, and how, and has a default for all but the place', () => {
  expect(readSpool({})).toBeUndefined()
  expect(readSpool({ PRISTO_SPOOL: ' sqlite:a b.db ' })).toEqual({ place: 'sqlite:a b.db', maxBytes: 2 ** 30, perSecond: undefined, maxAgeMs: 172_800_000 })
  expect(readSpool({ PRISTO_SPOOL: 'rediss://u:p@h:1/2', PRISTO_SPOOL_MAX_BYTES: '5', PRISTO_SPOOL_RATE: '50', PRISTO_SPOOL_MAX_AGE: '60' })).toEqual({
    ...{ place: 'rediss://u:p@h:1/2', maxBytes: 5, perSecond: 50, maxAgeMs: 60_000 },
  })
})

it.each([
  ['PRISTO_SPOOL', 'spool.db', 'sqlite:PATH, redis://HOST:PORT/DB or rediss://…'],
  ['PRISTO_SPOOL', 'sqlite:', 'sqlite:PATH, redis://HOST:PORT/DB or rediss://…'],
  ['PRISTO_SPOOL_MAX_BYTES', '1e9', 'a whole number from 1'],
  ['PRISTO_SPOOL_RATE', '0', 'a whole number from 1'],
  ['PRISTO_SPOOL_MAX_AGE', '-1', 'a whole number from 1'],
])('names %s where it cannot be used, and never shows what it held: %s', (name, value, allowed) => {
  expect(() => readSpool({ PRISTO_SPOOL: 'sqlite:a', [name]: value })).toThrow(`[pristo] ${name}: got a string of ${value.length} character${value.length > 1 ? 's' : ''}; allowed is ${allowed}`)
})

it.each([[undefined, 'nothing'], ['', 'an empty string'], [' sqlite:a', 'a string of 9 characters']])('opens nothing at a place that is none: %j', async (place, given) => {
  await expect(openSpool(JSON.parse(JSON.stringify({ place })).place)).rejects.toThrow(`[pristo] place: got ${given}; allowed is sqlite:PATH, redis://HOST:PORT/DB or rediss://…`)
})
