/**
 * `pristo-relay spool …`: what an operator sees of the spool, and does with buried events.
 * Invariant: only `dead --format json` shows anything of a person, as it says; nothing here delivers, and a relay may run meanwhile.
 */
import { describeGiven } from '../given.ts'
import type { openSpool as OpenSpool } from '../spool.ts'
import { readSpool } from '../spool/env.ts'
import type { DeadEvent, Selection, Spool, Stats } from '../spool/spool.ts'
import { isTypeName } from '../redact.ts'
import { isUuid } from '../uuid.ts'
import { UsageError, type Command, type Flag, type Terminal } from './command.ts'

const VARIABLES = ['PRISTO_SPOOL']
const FORMAT: Flag = { value: '<format>', what: 'text or json (default: text)' }
const IDS: Flag = { value: '<ids>', what: 'ids of events with commas, or all' }

/** How many buried events are shown where nobody says. */
const SHOWN = 20

type Given = Readonly<Record<string, string | undefined>>

const wrong = (flag: string, given: string | undefined, allowed: string): never => {
  throw new UsageError(`[pristo] --${flag}: got ${describeGiven(given)}; allowed is ${allowed}`)
}

const readsJson = ({ format = 'text' }: Given): boolean => (/^(text|json)$/.test(format) ? format === 'json' : wrong('format', format, 'text or json'))

const readLimit = ({ limit = String(SHOWN) }: Given): number => (/^[1-9]\d{0,8}$/.test(limit) ? Number(limit) : wrong('limit', limit, 'a whole number from 1'))

const readIds = ({ id }: Given): Selection => {
  if (id === 'all') return id
  const ids = id?.split(',').map((one) => one.trim()) ?? []
  return ids.length && ids.every(isUuid) ? ids : wrong('id', id, 'all, or ids of events (UUIDs) with commas')
}

const timeOf = (at: number | undefined): string => (at === undefined ? '-' : new Date(at).toISOString())

const linesOf = ({ events, contacts, dead, bytes, maxBytes, oldestAt, dueAt }: Stats): string[] => [
  `events    ${events}`,
  `contacts  ${contacts}`,
  `dead      ${dead}`,
  `bytes     ${bytes} of ${maxBytes}`,
  `oldest    ${timeOf(oldestAt)}`,
  `due       ${timeOf(dueAt)}`,
]

const lineOf = ({ event: { id, type }, reason: { code, status, message }, acceptedAt, buriedAt }: DeadEvent): string =>
  [id, isTypeName(type) ? type : '…', code, status ?? '-', `accepted=${timeOf(acceptedAt)}`, `buried=${timeOf(buriedAt)}`, ...(message ? [JSON.stringify(message)] : [])].join('  ')

/** The commands, by their two words; `openSpool` is that of spool.ts. */
export const createSpoolCommands = (openSpool: typeof OpenSpool): Readonly<Record<string, Command>> => {
  /** Does something with the spool that the environment names. */
  const withSpool = async ({ env }: Terminal, work: (spool: Spool) => Promise<void>): Promise<number> => {
    const settings = readSpool(env)
    if (!settings) throw new TypeError('[pristo] PRISTO_SPOOL: got nothing; allowed is the place that the relay has, such as sqlite:/var/lib/pristo/spool.db')
    const spool = await openSpool(settings.place, { maxBytes: settings.maxBytes, create: false })
    try {
      await work(spool)
    } finally {
      await spool.close()
    }
    return 0
  }

  return {
    'spool stats': {
      summary: 'says what is in the spool',
      about: ['Events that wait, the contacts they are of, buried ones, bytes, since when the oldest waits, and when the next is due.', 'The same figures are in /metrics.'],
      flags: { format: FORMAT },
      variables: [...VARIABLES, 'PRISTO_SPOOL_MAX_BYTES'],
      examples: ['PRISTO_SPOOL=sqlite:/var/lib/pristo/spool.db pristo-relay spool stats'],
      run: (given, terminal) => {
        const isJson = readsJson(given)
        return withSpool(terminal, async (spool) => {
          const stats = await spool.stats()
          for (const line of isJson ? [JSON.stringify(stats)] : linesOf(stats)) terminal.out(line)
        })
      },
    },
    'spool dead': {
      summary: 'lists buried events: what was rejected, or failed for three days',
      about: [
        'One line for each, the first buried first: id, type, code, HTTP status, when it was accepted and buried, and what the API said.',
        'With --format json each line is the whole event, and holds personal data.',
      ],
      flags: { limit: { value: '<number>', what: `how many (default: ${SHOWN})` }, format: FORMAT },
      variables: VARIABLES,
      examples: ['pristo-relay spool dead', 'pristo-relay spool dead --limit 100000 --format json > dead.jsonl'],
      run: (given, terminal) => {
        const [limit, isJson] = [readLimit(given), readsJson(given)]
        return withSpool(terminal, async (spool) => {
          for (const dead of await spool.dead.list(limit)) terminal.out(isJson ? JSON.stringify(dead) : lineOf(dead))
        })
      },
    },
    'spool replay': {
      summary: 'sends buried events once more',
      about: [
        'Puts them behind what waits of their contacts, for another three days; a running relay delivers them. For when the cause is mended,',
        'such as a type that was not defined in Pristo. Details of a contact go as they were then, and overwrite what Pristo has by now.',
      ],
      flags: { id: IDS },
      variables: VARIABLES,
      examples: ['pristo-relay spool replay --id all', 'pristo-relay spool replay --id 0190a000-0000-7000-8000-000000000001'],
      run: (given, terminal) => {
        const ids = readIds(given)
        return withSpool(terminal, async (spool) => terminal.out(`replayed ${await spool.dead.replay(ids)}`))
      },
    },
    'spool drop': {
      summary: 'deletes buried events for good',
      about: ['Keep them elsewhere first, where they may be needed: spool dead --format json.'],
      flags: { id: IDS },
      variables: VARIABLES,
      examples: ['pristo-relay spool drop --id all'],
      run: (given, terminal) => {
        const ids = readIds(given)
        return withSpool(terminal, async (spool) => terminal.out(`dropped ${await spool.dead.drop(ids)}`))
      },
    },
  }
}
