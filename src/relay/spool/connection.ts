/**
 * A connection to Redis or Valkey that mends itself.
 * Invariant: each command ends within a limit, with an answer or a SpoolError of one line; no line shows the address, which may hold a password,
 * nor what was sent; nothing that happens to the connection throws.
 */
import { describeGiven } from '../given.ts'
import { within } from '../time.ts'
import { SpoolError } from './spool.ts'

/** An idle connection is asked for a sign of life so often, and given up for dead after the second time, in milliseconds. */
const PING_MS = 2_000
const DEAD_MS = 6_000

/** Longest wait before the next attempt to connect; the first one is a 40th of it. */
const LONGEST_WAIT_MS = 2_000

/** A connection. */
export interface Connection {
  /** The answer of Redis to one command. What is asked in one turn of the event loop leaves together, in order. */
  send(...command: string[]): Promise<unknown>
  /** Ends it after what was asked before. */
  close(): Promise<void>
}

/** The part of `@redis/client` that is needed here. */
interface Client {
  readonly isOpen: boolean
  /** Whether it is connected, and not about to be. */
  readonly isReady: boolean
  on(event: string, listener: (value: unknown) => void): unknown
  connect(): Promise<unknown>
  sendCommand(command: readonly string[]): Promise<unknown>
  close(): Promise<void>
  destroy(): void
}

interface Library {
  createClient(options: object): Client
}

const load = async (): Promise<Library> => {
  const name = '@redis/client' // not a literal: bundlers and who lacks it leave it alone
  const library: unknown = await import(name).catch(() => undefined) // absent: the line below
  if (typeof Object(library).createClient === 'function') return Object(library)
  throw new SpoolError('needs the client of Redis, which is not installed: npm install @redis/client')
}

/** What the first word of a refusal means: https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors, as of 7.0. */
const REFUSALS: Readonly<Record<string, string | undefined>> = {
  WRONGPASS: 'cannot use Redis: it refuses the user or the password',
  NOAUTH: 'cannot use Redis: it asks for a password',
  NOPERM: 'cannot use Redis: its user may not do what is needed, which is ~PREFIX* +@all -@admin -@dangerous +info +config|get',
  LOADING: 'waits for Redis, which still reads its own files',
  READONLY: 'cannot write: this Redis is a replica. Give the address of the primary',
  MASTERDOWN: 'cannot write: this Redis is a replica. Give the address of the primary',
  NOREPLICAS: 'cannot write: Redis has fewer replicas than it is set to have',
  MISCONF: 'cannot write: Redis could not write its own files. Look at its disk and its log',
  OOM: 'cannot write: Redis has no memory left (maxmemory)',
  BUSY: 'waits for Redis, which runs a script of somebody else',
  MOVED: 'cannot use this Redis: another node of its cluster has the keys. Give the address of that one',
  ASK: 'cannot use this Redis: its cluster is moving the keys to another node',
  CLUSTERDOWN: 'cannot use Redis: its cluster is down',
  WRONGTYPE: 'cannot use its keys: somebody else has others of the same name. Choose another prefix',
}

/** `ECONNREFUSED` and the like. */
const FAILURES: Readonly<Record<string, string | undefined>> = {
  ECONNREFUSED: 'nobody listens at its address',
  ENOTFOUND: 'its host is not known',
  ECONNRESET: 'the connection was cut',
  EPIPE: 'the connection was cut',
  ETIMEDOUT: 'its host does not answer',
  EHOSTUNREACH: 'there is no way to its host',
}

/** The word that a refusal begins with. Redis 6.2 puts where in the script it happened before it. */
const wordOf = (cause: unknown): string | undefined => (cause instanceof Error ? /: -([A-Z]+)\b/.exec(cause.message)?.[1] ?? /^([A-Z]+)\b/.exec(cause.message)?.[1] : undefined)

/** The first word of what Redis refused with, such as `OOM`; undefined where the error is another one. */
export const refusalOf = (error: unknown): string | undefined => (error instanceof SpoolError ? wordOf(error.cause) : undefined)

/** Redis repeats what it was sent where it does not know a command: an event, or a password. */
const QUOTES = /, with args beginning with/

const explain = (error: unknown, last: unknown): SpoolError => {
  if (error instanceof SpoolError) return error
  if (!(error instanceof Error)) return new SpoolError('failed', error)
  const { name } = error.constructor
  if (name === 'ClientClosedError') return new SpoolError('is closed')
  if (name === 'ClientOfflineError') return last ? explain(last, undefined) : new SpoolError('has no connection to Redis', error)
  if (QUOTES.test(error.message)) return new SpoolError(`failed: ${error.message.split(QUOTES)[0]}`, new Error(error.message.split(QUOTES)[0]))
  const refusal = REFUSALS[wordOf(error) ?? '']
  if (refusal) return new SpoolError(refusal, error)
  const { code } = Object(error)
  if (/CERT|SELF_SIGNED|UNABLE_TO/.test(String(code))) return new SpoolError(`does not trust the certificate of Redis (${code}): NODE_EXTRA_CA_CERTS names a file of those to trust`, error)
  if (typeof code === 'string') return new SpoolError(`cannot reach Redis: ${FAILURES[code] ?? code}`, error)
  if (name === 'SocketClosedUnexpectedlyError' || name === 'DisconnectsClientError') return new SpoolError('lost its connection to Redis', error)
  if (name === 'ConnectionTimeoutError' || name === 'SocketTimeoutError') return new SpoolError('cannot reach Redis: it does not answer', error)
  return new SpoolError(`failed: ${error.message}`, error)
}

/** Throws where it is no address of Redis; the error does not hold it. */
const checkUrl = (url: string): void => {
  const { protocol, pathname, username, password } = URL.canParse(url) ? new URL(url) : { protocol: '', pathname: '', username: '', password: '' }
  if (/^rediss?:$/.test(protocol) && /^\/?\d*$/.test(pathname) && [username, password].every((text) => !/%(?![0-9a-f]{2})/i.test(text))) return
  throw new TypeError(`[pristo] the spool: got ${describeGiven(url)}; allowed is redis[s]://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], with special characters of the password as in any URL (%23 for #)`)
}

/**
 * Connects. Rejects with one line where that cannot be done at once; later it connects again by itself. `onReady` is told of each connection
 * that was made, the first one too, before anything is sent over it. `limitMs` bounds each answer.
 */
export const connect = async ({ url, limitMs, onReady }: { url: string; limitMs: number; onReady: () => void }): Promise<Connection> => {
  checkUrl(url)
  const { createClient } = await load()
  let last: unknown
  let isOpened = false
  let isClosed = false
  const client = createClient({
    url,
    RESP: 2, // a failed login is then answered by AUTH, which repeats no password
    disableOfflineQueue: true,
    maintNotifications: 'disabled',
    pingInterval: PING_MS,
    socket: {
      connectTimeout: limitMs,
      socketTimeout: Math.max(DEAD_MS, limitMs + PING_MS),
      reconnectStrategy: (retries: number) => isOpened && Math.min(LONGEST_WAIT_MS / 40 * 2 ** Math.min(retries, 10), LONGEST_WAIT_MS) * (0.5 + Math.random() / 2),
    },
  })
  client.on('error', (error) => (last = error))
  client.on('ready', () => {
    last = undefined
    if (isClosed) client.destroy() // it was closed while it connected, which the client does not stop (6.3.1)
    else onReady()
  })

  /**
   * A peer that is gone without a word would be waited for until the system gives up, which takes 15 minutes. Not while the client connects
   * already: it would do so twice then, and hear the answers of both connections (6.3.1).
   */
  const connectAgain = (): void => {
    if (!client.isReady) return
    client.destroy()
    client.connect().catch((error: unknown) => (last = error))
  }

  const silence = (): SpoolError => new SpoolError(`got no answer from Redis within ${limitMs} ms`)

  const send = async (...command: string[]): Promise<unknown> => {
    try {
      const answer = await within(client.sendCommand(command).then((value) => ({ value })), limitMs)
      if (answer) return answer.value
    } catch (error) {
      throw explain(error, last)
    }
    connectAgain()
    throw silence()
  }

  const end = (): void => {
    isClosed = true
    client.destroy()
  }

  try {
    if (!(await within(client.connect(), 2 * limitMs))) throw silence()
  } catch (error) {
    end()
    throw explain(error, undefined)
  }
  isOpened = true
  return {
    send,
    close: async () => {
      if (client.isReady) await within(client.close(), limitMs)
      end()
    },
  }
}
