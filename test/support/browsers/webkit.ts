/**
 * WebKitGTK, through its own WebDriver on a virtual display: a small W3C WebDriver client over `fetch`.
 * Playwright cannot drive a stock WebKit. Reference: https://www.w3.org/TR/webdriver2/
 */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { toExpression, type Browser, type Page, type Profile } from './browser.ts'
import type { Start } from './find.mjs'
import { start, startDisplay, stop } from './process.ts'
import { until } from './until.ts'

/** Longest command, milliseconds. A session without a display never answers at all. */
const COMMAND_MS = 45_000

/** Longest start of a browser, milliseconds: it takes 1 to 3 s. A driver that has not answered by then never does (WebKitGTK 2.50.6, once in 2 000 sessions). */
const SESSION_MS = 15_000

/** Longest script in a page, and load of a page, milliseconds: they end before the command does, with a message of their own. */
const TIMEOUTS = { script: 40_000, pageLoad: 20_000 }

/** https://www.w3.org/TR/webdriver2/#keyboard-actions and https://www.w3.org/TR/pointerevents/#the-button-property */
const KEYS = { Enter: '\ue007', ' ': ' ', Control: '\ue009', Shift: '\ue008' }
const BUTTONS = { left: 0, middle: 1, right: 2 }

type Command = (method: 'GET' | 'POST' | 'DELETE', path: string, body?: object, limitMs?: number) => Promise<unknown>

/** Longest farewell of a browser that is to serve the next visitor, milliseconds: where it takes longer, that one gets another. */
const FAREWELL_MS = 5_000

/** Starts display and driver; a profile is a browser of its own, or one whose visitor has gone. Rejects where it cannot. */
export const startWebKit = async ({ driver, binary, display }: Extract<Start, { by: 'webdriver' }>): Promise<Browser> => {
  const { screen, env } = await startDisplay(display)
  const drivers: ChildProcess[] = []
  const startDriver = async (): Promise<Command> => {
    const port = await freePort()
    drivers.push(start(driver, [`--port=${port}`], env))
    const command = createClient(`http://127.0.0.1:${port}`)
    await until('WebKitWebDriver to start', () => command('GET', '/status').then(() => true, () => false))
    return command
  }

  const capabilities = { alwaysMatch: { timeouts: TIMEOUTS, 'webkitgtk:browserOptions': { binary, args: ['--automation'] } } }
  const startSession = (command: Command): Promise<unknown> => command('POST', '/session', { capabilities }, SESSION_MS)
  let current = await startDriver()
  let idle: Session | undefined

  const newSession = async (): Promise<Session> => {
    const started = await startSession(current).catch(async () => {
      current = await startDriver() // what the first one has hung up over is nothing that a test has done
      return startSession(current)
    })
    const ask = current
    const { sessionId } = parse<{ sessionId: string }>(started, 'sessionId')
    const command: Command = (method, path, body, limitMs) => ask(method, `/session/${sessionId}${path}`, body, limitMs)
    // A session ends with its last window: the first one stays open, and no test sees it.
    return { command, anchor: await command('GET', '/window') }
  }

  /** Closes what a visitor left open. What it stored stays: nobody comes to that host again. */
  const clear = async ({ command, anchor }: Session): Promise<void> => {
    const handles = await command('GET', '/window/handles', undefined, FAREWELL_MS)
    for (const handle of Array.isArray(handles) ? handles : []) {
      if (handle === anchor) continue
      await command('POST', '/window', { handle }, FAREWELL_MS)
      await command('DELETE', '/window', undefined, FAREWELL_MS)
    }
  }

  return {
    newProfile: async () => {
      const session = idle ?? (await newSession())
      idle = undefined
      return createProfile(session, async () => {
        idle = await clear(session).then(() => session, () => undefined)
        if (!idle) await session.command('DELETE', '', undefined, FAREWELL_MS).catch(() => undefined) // it answers no more: its driver ends with the rest
      })
    },
    close: async () => {
      for (const server of drivers) await stop(server)
      await stop(screen)
    },
  }
}

/** A running browser, and its first window. */
interface Session {
  command: Command
  anchor: unknown
}

const createProfile = ({ command, anchor }: Session, close: () => Promise<void>): Profile => {
  let last: Promise<unknown> = Promise.resolve()

  /** A session has one current window, so that nothing else may come between the switch to it and the command. */
  const inWindow = <T>(handle: unknown, work: () => Promise<T>): Promise<T> => {
    const mine = last.then(async () => {
      await command('POST', '/window', { handle })
      return work()
    })
    last = mine.catch(() => undefined) // whoever asked is told; the next command is not concerned
    return mine
  }

  return {
    newPage: async () => {
      const opened = await inWindow(anchor, () => command('POST', '/window/new', { type: 'window' }))
      const { handle } = parse<{ handle: string }>(opened, 'handle')
      return createPage(command, (work) => inWindow(handle, work))
    },
    close: () => last.then(close),
  }
}

const createPage = (command: Command, inWindow: <T>(work: () => Promise<T>) => Promise<T>): Page => {
  const url = async (): Promise<string> => String(await inWindow(() => command('GET', '/url')))
  return {
    goto: async (address) => void (await inWindow(() => command('POST', '/url', { url: address }))),
    evaluate: async (work: string | ((argument: never) => unknown), argument?: unknown) => {
      // Part of the script, not its argument: a page's CSP may forbid `eval`.
      const script = `const [done] = arguments
        Promise.resolve().then(() => (${toExpression(work, argument)})).then((value) => done({ value }), (error) => done({ error: String(error) }))`
      const outcome = Object(await inWindow(() => command('POST', '/execute/async', { script, args: [] })))
      if ('error' in outcome) throw new Error(outcome.error)
      return outcome.value
    },
    click: (selector, { button, key } = {}) =>
      inWindow(async () => {
        const origin = await command('POST', '/element', { using: 'css selector', value: selector })
        if (!button && !key) return void (await command('POST', `/element/${Object.values(Object(origin))[0]}/click`))
        const run = (script: string): Promise<unknown> => command('POST', '/execute/sync', { script, args: [origin] })
        // This driver lets go of the left button, whichever it pressed (WebKitGTK 2.50.6): the page has to make the event itself.
        if (button === 'middle' || button === 'right')
          return void (await run(`arguments[0].dispatchEvent(new MouseEvent('auxclick', { button: ${BUTTONS[button]}, bubbles: true, cancelable: true, composed: true }))`))
        await run("arguments[0].scrollIntoView({ block: 'center' })")
        const pause = { type: 'pause' }
        const pressed = { button: BUTTONS.left }
        const held = key && { type: 'key', id: 'keys', actions: [{ type: 'keyDown', value: KEYS[key] }, pause, pause, pause, { type: 'keyUp', value: KEYS[key] }] }
        const moves = [pause, { type: 'pointerMove', origin, x: 0, y: 0 }, { type: 'pointerDown', ...pressed }, { type: 'pointerUp', ...pressed }, pause]
        await command('POST', '/actions', { actions: [...(held ? [held] : []), { type: 'pointer', id: 'mouse', actions: moves }] })
      }),
    press: (key) =>
      inWindow(async () => {
        const value = KEYS[key]
        await command('POST', '/actions', { actions: [{ type: 'key', id: 'keys', actions: [{ type: 'keyDown', value }, { type: 'keyUp', value }] }] })
      }),
    back: async () => {
      const here = await url()
      await inWindow(() => command('POST', '/back'))
      await until('the browser to go back', async () => (await url()) !== here)
    },
    reload: async () => void (await inWindow(() => command('POST', '/refresh'))),
    close: async () => void (await inWindow(() => command('DELETE', '/window'))),
    url,
  }
}

const createClient =
  (base: string): Command =>
  async (method, path, body = {}, limitMs = COMMAND_MS) => {
    const answer = await fetch(base + path, {
      method,
      ...(method === 'POST' && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(limitMs),
    })
    const { value } = Object(await answer.json())
    if (!answer.ok) throw new Error(`WebKit: ${method} ${path}: ${value?.error}: ${value?.message}`)
    return value
  }

const parse = <T extends object>(value: unknown, key: keyof T): T => {
  if (typeof value === 'object' && value !== null && key in value) return value as T
  throw new Error(`WebKit: no ${String(key)} in ${JSON.stringify(value)}`)
}

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no free port')
  return address.port
}
