// @vitest-environment node
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, afterAll, expect, it } from 'vitest'
import { createSpoolCommands } from '../../../src/relay/cli/spool.ts'
import { openSpool, type Spool } from '../../../src/relay/spool.ts'
import { CANARY_EMAIL, makeEvent, NOW, uuid } from '../harness.ts'
import { runIn } from './terminal.ts'

const folder = mkdtempSync(join(tmpdir(), 'pristo-spool-cli-'))
const env = { PRISTO_SPOOL: `sqlite:${join(folder, 'spool.db')}` }
const commands = createSpoolCommands(openSpool)
let spool: Spool

/** Runs a command as if it had been typed. */
const type = (name: string, given: Record<string, string> = {}, variables: Record<string, string> = env) => {
  const command = commands[`spool ${name}`]
  if (!command) throw new Error(`no command ${name}`)
  return runIn(command, variables, given)
}

beforeAll(async () => {
  spool = await openSpool(env.PRISTO_SPOOL, { now: () => NOW })
  await spool.put([1, 2, 3].map((n) => makeEvent(n)))
  await spool.put([makeEvent(4, { contact: { id: 'u_7' }, type: CANARY_EMAIL })])
  const reasons = [{ code: 'invalid_event', status: 400, message: 'unknown "type"' }, { code: 'expired', message: 'unavailable' }]
  for (const [place, claim] of (await spool.claim(2)).entries()) await spool.bury(claim, reasons[place] ?? { code: 'none' })
})
afterAll(async () => {
  await spool.close()
  rmSync(folder, { recursive: true })
})

it('says what is in the spool while a relay has it, in words or as JSON', async () => {
  const at = '2026-11-23T12:00:00.000Z'
  const { bytes, maxBytes } = await spool.stats()
  const { code, out } = await type('stats')
  expect([code, out]).toEqual([0, ['events    2', 'contacts  1', 'dead      2', `bytes     ${bytes} of ${maxBytes}`, `oldest    ${at}`, `due       ${at}`]])
  const asJson = await type('stats', { format: 'json' })
  expect(asJson.out.map((line) => JSON.parse(line))).toEqual([await spool.stats()])
})

it('lists buried events without anything of a person, unless asked for the whole of them', async () => {
  const { out } = await type('dead')
  expect(out).toHaveLength(2)
  expect(out).toContainEqual(`${uuid(1)}  purchase  invalid_event  400  accepted=2026-11-23T12:00:00.000Z  buried=2026-11-23T12:00:00.000Z  "unknown \\"type\\""`)
  expect(out.join('\n')).toContain('expired  -  accepted=')
  expect(out.join('\n')).not.toMatch(/canary|u_42|u_7/)
  const whole = await type('dead', { format: 'json', limit: '1' })
  expect(whole.out.map((line) => JSON.parse(line))).toEqual(await spool.dead.list(1))
})

it('replays and drops what is named, and says how much that was', async () => {
  expect((await type('replay', { id: `${uuid(1)}, ${uuid(9)}` })).out).toEqual(['replayed 1'])
  expect(await spool.stats()).toMatchObject({ events: 3, dead: 1 })
  expect((await type('drop', { id: 'all' })).out).toEqual(['dropped 1'])
  expect(await spool.stats()).toMatchObject({ events: 3, dead: 0 })
})

it.each([
  ['stats', { format: 'xml' }, '[pristo] --format: got a string of 3 characters; allowed is text or json'],
  ['dead', { limit: '0' }, '[pristo] --limit: got a string of 1 character; allowed is a whole number from 1'],
  ['replay', {}, '[pristo] --id: got nothing; allowed is all, or ids of events (UUIDs) with commas'],
  ['drop', { id: '*' }, '[pristo] --id: got a string of 1 character; allowed is all, or ids of events (UUIDs) with commas'],
])('refuses what it cannot read: spool %s %j', async (name, given, line) => {
  await expect(async () => type(name, given)).rejects.toThrow(line)
})

it('makes no spool where there is none, and says so', async () => {
  const path = join(folder, 'other.db')
  await expect(type('stats', {}, { PRISTO_SPOOL: `sqlite:${path}` })).rejects.toThrow('[pristo] the spool is not there: no relay has made it yet, or the place is another one')
  expect(existsSync(path)).toBe(false)
  await expect(type('stats', {}, {})).rejects.toThrow('[pristo] PRISTO_SPOOL: got nothing; allowed is the place that the relay has, such as sqlite:/var/lib/pristo/spool.db')
})
