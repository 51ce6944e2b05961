/**
 * A spool in Redis or Valkey, for any number of relays.
 * Invariant: each step is one script, which happens as a whole or not at all; `put` resolves `accepted` only where a look at the server that
 * came behind the script found that it syncs each write to its disk and throws nothing away.
 */
import { createHash } from 'node:crypto'
import type { Contact, PristoEvent } from '../../contract.ts'
import { describeGiven } from '../given.ts'
import { isRecord, parseJson } from '../json.ts'
import { connect, refusalOf, type Connection } from './connection.ts'
import { createLook, parseInfo, type Server } from './safety.ts'
import { MIGRATIONS, migrationTo, SCRIPTS } from './scripts.ts'
import { byName, checkMaxBytes, detailsOf, laneOf, MAX_BYTES, nameOf, NoSpoolError, portionsOf, SpoolError, withDetails, type Claim, type DeadEvent, type Reason, type Selection, type Spool } from './spool.ts'
import type { SpoolOptions } from './sqlite.ts'

/** Options of a spool in Redis. */
export interface RedisSpoolOptions extends SpoolOptions {
  /**
   * What all its keys begin with: sites that share a database need one each. What is in braces decides where a cluster keeps them.
   * Default `{pristo}`.
   */
  prefix?: string
  /** Milliseconds that Redis may take to answer. Default 3 000. */
  answerMs?: number
}

/** A claim that is answered so late still leaves its lease (15 s) time for the longest call (10 s) and for its end. */
const ANSWER_MS = 3_000

/** The oldest that this was written for. */
const OLDEST = [6, 2] as const

/** How many events of a contact a script takes in one command. */
const EVENTS_AT_ONCE = 1_000

/** How many buried events a script moves or gives, and by how many ids it finds some: it holds up all others for a few milliseconds. */
const DEAD_AT_ONCE = 100

type Script = keyof typeof SCRIPTS

const digests = new Map(Object.values(SCRIPTS).map((script) => [script, createHash('sha1').update(script).digest('hex')]))

/** Where the spool is, and the time for its scripts; empty where the server has that. */
interface Keys {
  prefix: string
  time: () => string
}

/** The events without repetitions, each contact's together: its name, how many, and of each its id and JSON. */
const groupsOf = (events: readonly PristoEvent[]): (string | number)[] => {
  const lanes = new Map<string, string[][]>()
  for (const event of byName(events).values()) {
    const lane = laneOf(event.contact)
    const all = lanes.get(lane) ?? []
    all.push([event.id.toLowerCase(), JSON.stringify(event)])
    lanes.set(lane, all)
  }
  return [...lanes].flatMap(([lane, all]) => portionsOf(all, EVENTS_AT_ONCE).flatMap((portion) => [lane, portion.length, ...portion.flat()]))
}

const damaged = (): never => {
  throw new SpoolError('holds what no relay wrote: somebody else has changed its keys')
}

const list = (reply: unknown): unknown[] => (Array.isArray(reply) ? reply : damaged())

const json = <T>(text: string): T => {
  const value = parseJson(text)
  return isRecord(value) ? (value as T) : damaged() // written by `put` or `bury`, which typed it
}

/** What is asked for in one turn of the event loop, done once, behind what was sent in that turn. */
const oncePerTurn = <T>(work: (argument: T) => Promise<void>): ((argument: T) => Promise<void>) => {
  let waiting: Promise<void> | undefined
  return (argument) =>
    (waiting ??= new Promise((resolve, reject) => {
      setImmediate(() => {
        waiting = undefined
        work(argument).then(resolve, reject)
      })
    }))
}

/** Rejects where the server cannot have a spool. */
const greet = async ({ send }: Connection): Promise<Server> => {
  const info = parseInfo(await send('INFO'))
  const version = info.get('redis_version') ?? ''
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) throw new SpoolError(`needs Redis ${OLDEST.join('.')} or later, or Valkey; this is ${version || 'neither'}`)
  if (info.get('role') !== 'master') throw new SpoolError('cannot write: this Redis is a replica. Give the address of the primary')
  return { tellsAll: major > 6 }
}

/** Makes a server ready for the scripts; rejects where it cannot be, or where there is no spool and `create` is false. */
const createPrepare =
  (connection: Connection, { create, ...keys }: Keys & { create: boolean }) =>
  async (): Promise<Server> => {
    const { send } = connection
    const server = await greet(connection)
    await Promise.all([...digests.keys()].map((script) => send('SCRIPT', 'LOAD', script)))
    if (!create && (await send('HEXISTS', keys.prefix, 'version')) !== 1) throw new NoSpoolError()
    await migrate({ send, ...keys })
    return server
  }

/** Brings the keys to the newest version, which are none at first. Rejects where they are of a newer package. */
export const migrate = async ({ send, prefix, time, migrations = MIGRATIONS }: Pick<Connection, 'send'> & Keys & { migrations?: readonly string[] }): Promise<void> => {
  let version = Number((await send('HGET', prefix, 'version')) ?? 0)
  while (version < migrations.length) version = Number(await send('EVAL', migrationTo(version + 1, migrations), '1', prefix, time()))
  if (version > migrations.length)
    throw new SpoolError(`was written by a newer version of pristo (schema ${version}; this one knows ${migrations.length}): install that one`)
}

/** The scripts, on a server that is made ready for them where it is not, as after it was started again. */
const createRun = ({ send }: Connection, { prefix, time, prepare }: Keys & { prepare: () => Promise<Server> }) => {
  let ready: Promise<Server> | undefined
  const running = new Set<Promise<unknown>>()

  const becomeReady = async (): Promise<Server> => {
    try {
      return await (ready ??= prepare())
    } catch (cause) {
      ready = undefined
      throw cause
    }
  }

  const once = async (script: Script, args: readonly (string | number)[], beside?: (server: Server) => Promise<void>): Promise<unknown> => {
    const server = await becomeReady()
    const done = beside?.(server)
    const [answer] = await Promise.all([send('EVALSHA', digests.get(SCRIPTS[script]) ?? '', '1', prefix, time(), ...args.map(String)), done])
    return answer
  }

  const twice = async (...asked: Parameters<typeof once>): Promise<unknown> => {
    try {
      return await once(...asked)
    } catch (cause) {
      if (!['NOSCRIPT', 'SCHEMA'].includes(refusalOf(cause) ?? '')) throw cause
      ready = undefined
      return once(...asked) // neither has done anything
    }
  }

  return {
    becomeReady,
    forget: (): void => {
      ready = undefined
    },
    /** Runs a script; `beside` begins with it, and is awaited as well. */
    run: async (script: Script, args: readonly (string | number)[] = [], beside?: (server: Server) => Promise<void>): Promise<unknown> => {
      const done = twice(script, args, beside)
      running.add(done)
      try {
        return await done
      } finally {
        running.delete(done)
      }
    },
    /** Resolves when what runs has ended. */
    rest: async (): Promise<void> => {
      await Promise.allSettled(running)
    },
  }
}

/**
 * Opens a spool at `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]` (`rediss:` over TLS), which any number of relays may share. Rejects with
 * one line where the server cannot be reached, is older than 6.2, or would lose events: it needs `appendonly yes`, `appendfsync always` and
 * `maxmemory-policy noeviction`, and this is looked at with every `put`. All events are in its memory, at about three times their bytes, and
 * 200 bytes for each of the last 48 hours. A failover to a replica may lose what only the disk of the primary had.
 */
export const openRedisSpool = async (
  url: string,
  { prefix = '{pristo}', maxBytes = MAX_BYTES, create = true, now, answerMs = ANSWER_MS }: RedisSpoolOptions = {},
): Promise<Spool> => {
  if (!/^[^{]*\{[^}]+\}/.test(prefix)) throw new TypeError(`[pristo] prefix: got ${describeGiven(prefix)}; allowed is a text with something in braces, such as {pristo}`)
  checkMaxBytes(maxBytes)
  const keys: Keys = { prefix, time: () => (now ? String(now()) : '') }
  let forget = (): void => undefined
  const connection = await connect({ url, limitMs: answerMs, onReady: () => forget() })
  const look = createLook(connection)
  const { run, becomeReady, ...scripts } = createRun(connection, { ...keys, prepare: createPrepare(connection, { ...keys, create }) })
  const isSafe = oncePerTurn(look.check)
  forget = () => {
    look.forget()
    scripts.forget()
  }

  const holds = async (script: 'settle' | 'retry' | 'bury', { event, fence }: Claim, ...args: (string | number)[]): Promise<boolean> =>
    (await run(script, [laneOf(event.contact), fence, ...args])) === 1

  /** The numbers of buried events that have these ids, in the order in which they were buried. No number comes again: what is buried once more is another. */
  const findDead = async (given: readonly string[]): Promise<number[]> => {
    const ids = [...new Set(given.map((id) => id.toLowerCase()))].filter((id) => /^[\da-f-]{36}$/.test(id))
    const found: unknown[][] = []
    for (const portion of portionsOf(ids, DEAD_AT_ONCE)) found.push(list(await run('find', portion)))
    return found.flat().map(Number).sort((one, other) => one - other)
  }

  /** In portions: what rejects midway has done some of it, and does the rest when it is asked again. */
  const exhume = async (script: 'replay' | 'drop', which: Selection): Promise<number> => {
    let total = 0
    if (which === 'all') {
      let upTo = ''
      let count = DEAD_AT_ONCE
      while (count === DEAD_AT_ONCE) {
        const [found, last] = list(await run(script, ['all', DEAD_AT_ONCE, upTo]))
        count = Number(found)
        upTo = String(last)
        total += count
      }
      return total
    }
    for (const portion of portionsOf(await findDead(which), DEAD_AT_ONCE)) {
      const [found] = list(await run(script, ['numbers', ...portion]))
      total += Number(found)
    }
    return total
  }

  try {
    await look.checkSettings(await greet(connection))
    await becomeReady()
  } catch (cause) {
    await connection.close()
    throw cause
  }
  return {
    put: async (events) => {
      try {
        const answer = await run('put', [maxBytes, ...groupsOf(events)], isSafe)
        return answer === 'accepted' || answer === 'full' ? answer : damaged()
      } catch (cause) {
        if (refusalOf(cause) === 'OOM') return 'full'
        throw cause
      }
    },
    claim: async (most) => list(await run('claim', [most])).map(readClaim),
    settle: (claim) => holds('settle', claim, nameOf(claim.event)),
    retry: (claim, delayMs) => holds('retry', claim, delayMs),
    bury: (claim, reason) => {
      const details = detailsOf(claim.event)
      return holds('bury', claim, nameOf(claim.event), JSON.stringify(reason), details ? JSON.stringify(details) : '')
    },
    stats: async () => {
      const [events, bytes, contacts, dead, dueAt, oldestAt] = list(await run('stats'))
      const timeOf = (text: unknown): number | undefined => (text === '' ? undefined : Number(text))
      return { events: Number(events), contacts: Number(contacts), dead: Number(dead), bytes: Number(bytes), maxBytes, oldestAt: timeOf(oldestAt), dueAt: timeOf(dueAt) }
    },
    dead: {
      list: async (most) => {
        const events: DeadEvent[] = []
        let after = '-inf'
        while (events.length < most) {
          const portion = list(await run('list', [after, Math.min(most - events.length, DEAD_AT_ONCE)])).map(list)
          events.push(...portion.map(([, entry]) => readDead(String(entry))))
          const last = portion.at(-1)
          if (!last) break
          after = String(last[0])
        }
        return events
      },
      replay: (which) => exhume('replay', which),
      drop: (which) => exhume('drop', which),
    },
    close: async () => {
      await scripts.rest()
      await connection.close()
    },
  }
}

const readClaim = (reply: unknown): Claim => {
  const [entry, attempts, fence, details] = list(reply).map(String)
  const [, seq, acceptedAt, body] = /^(\d+) (\d+)\n([^\n]*)$/.exec(entry ?? '') ?? damaged()
  const event = withDetails(json<PristoEvent>(body ?? ''), details ? json<Contact>(details) : undefined)
  return { event, acceptedAt: Number(acceptedAt), attempts: Number(attempts), seq: Number(seq), fence: Number(fence) }
}

const readDead = (entry: string): DeadEvent => {
  const [, acceptedAt, buriedAt, reason, body] = /^(\d+) (\d+)\n([^\n]*)\n([^\n]*)$/.exec(entry) ?? damaged()
  return { event: json<PristoEvent>(body ?? ''), reason: json<Reason>(reason ?? ''), acceptedAt: Number(acceptedAt), buriedAt: Number(buriedAt) }
}
