/**
 * Whether a Redis is set so that it loses nothing.
 * Invariant: what is in doubt is refused.
 */
import { refusalOf, type Connection } from './connection.ts'
import { SpoolError } from './spool.ts'

/** The lines of INFO, `name:value`. */
export type Info = ReadonlyMap<string, string>

/** Of what INFO answers. */
export const parseInfo = (reply: unknown): Info =>
  new Map(
    String(reply)
      .split('\r\n')
      .flatMap((line) => (line.includes(':') ? [[line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)] as const] : [])),
  )

/** What CONFIG GET answers: names and values in turns. */
const parseConfig = (reply: unknown): Map<string, string> => {
  const texts = Array.isArray(reply) ? reply.map(String) : []
  return new Map(texts.flatMap((name, place) => (place % 2 ? [] : [[name, texts[place + 1] ?? ''] as const])))
}

/** A server as it was found. */
export interface Server {
  /** Redis 6.2 tells one setting at a time. */
  tellsAll: boolean
}

/** What a server must be set to. */
const SETTINGS = [
  ['appendonly', 'yes', 'Redis would hold events in its memory only'],
  ['appendfsync', 'always', 'Redis would say yes before an event is on its disk'],
  ['no-appendfsync-on-rewrite', 'no', 'Redis would not sync its disk while it rewrites its file'],
  ['maxmemory-policy', 'noeviction', 'Redis would throw events away where its memory is full'],
] as const

/**
 * Changes whenever the append-only file may have been switched off and on, or the data been replaced by those of a primary. Redis 6.2 counts
 * together what is asked and what is set, so that it changes at each look: then a rewrite is never taken for a harmless one.
 */
const markOf = (info: Info): string => {
  const [, calls = '0'] = /^calls=(\d+)/.exec(info.get('cmdstat_config|set') ?? info.get('cmdstat_config') ?? '') ?? []
  return `${calls} ${info.get('master_replid') ?? ''}`
}

const isRewriting = (info: Info): boolean => info.get('aof_rewrite_in_progress') !== '0' || info.get('aof_rewrite_scheduled') !== '0'

/** Looks at how safe the server is. */
export const createLook = ({ send }: Connection) => {
  /**
   * The server's mark when its append-only file was last seen complete. After that was switched on, nothing is safe until Redis has rewritten
   * it, and Redis (7.0) says of that rewrite nothing that it does not say of any other, during which everything is safe.
   */
  let mark: string | undefined

  const inform = async (section: string): Promise<Info> => parseInfo(await send('INFO', section))

  const ask = async (...names: string[]): Promise<Map<string, string>> => {
    try {
      return parseConfig(await send('CONFIG', 'GET', ...names))
    } catch (cause) {
      if (cause instanceof SpoolError && (refusalOf(cause) === 'NOPERM' || /unknown command/.test(cause.message)))
        throw new SpoolError('cannot ask Redis whether it is safe: allow its user CONFIG GET', cause)
      throw cause
    }
  }

  /** Rejects with what to set. */
  const checkSettings = async ({ tellsAll }: Server): Promise<void> => {
    const names = SETTINGS.map(([name]) => name)
    const told = tellsAll ? [await ask(...names)] : await Promise.all(names.map((name) => ask(name)))
    const values = new Map(told.flatMap((some) => [...some]))
    const wrong = SETTINGS.find(([name, value]) => values.get(name) !== value)
    if (!wrong) return
    const [name, value, why] = wrong
    throw new SpoolError(`is not safe there: set ${name} ${value} (it is ${values.get(name) ?? 'unknown'}); ${why}`)
  }

  const checkFile = async (): Promise<void> => {
    const before = mark
    const info = await inform(before === undefined ? 'all' : 'persistence')
    if (info.get('aof_last_write_status') !== 'ok') throw new SpoolError('cannot write: Redis could not write its append-only file. Look at its disk and its log')
    if (isRewriting(info)) {
      if (before !== undefined && before === markOf(await inform('all'))) return
      mark = undefined
      throw new SpoolError('waits for Redis to finish writing its append-only file')
    }
    if (info.get('aof_enabled') !== '1') mark = undefined // the settings say so
    else if (before === undefined) mark = markOf(info)
  }

  return {
    checkSettings,
    /** Rejects where an event that was just written may not be on the disk. */
    check: async (server: Server): Promise<void> => {
      await Promise.all([checkSettings(server), checkFile()])
    },
    /** Another server may be there now. */
    forget: (): void => {
      mark = undefined
    },
  }
}
