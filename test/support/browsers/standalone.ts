/**
 * A browser that nobody drives: it opens one address and does what the page says, as a visitor's does.
 * Its profile is on disk, and it can be killed. WebKit's driver has neither: its profiles are never on disk.
 */
import { chromium, firefox } from '@playwright/test'
import type { ChildProcess } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CHROMIUM_ARGS, findBrowser, nameOf, type Engine } from './find.mjs'
import { start, startDisplay, stop } from './process.ts'

export interface Standalone {
  /** SIGKILL for the processes that run pages, and no others. */
  crash(): void
  /** SIGKILL for all of its processes. Resolves when they are gone. */
  kill(): Promise<void>
}

/** A new profile has nothing to tell, and one that was killed opens what it is asked to, not what was open. */
const FIREFOX_PREFERENCES = {
  'browser.aboutwelcome.enabled': false,
  'browser.sessionstore.resume_from_crash': false,
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.homepage_override.mstone': 'ignore',
  'datareporting.policy.dataSubmissionEnabled': false,
  'toolkit.startup.max_resumed_crashes': -1,
}

const writePreferences = (folder: string): void => {
  const lines = Object.entries(FIREFOX_PREFERENCES).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`)
  writeFileSync(join(folder, 'user.js'), lines.join(''))
}

/** What the command line of a process that runs pages looks like. */
const RENDERERS: Record<Engine, RegExp> = { chromium: /--type=renderer/, firefox: /-contentproc.*tab$/, webkit: /WebKitWebProcess/ }

interface Process {
  pid: number
  parent: number
  command: string
}

/** All processes of this machine, from https://man7.org/linux/man-pages/man5/proc.5.html. */
const processes = (): Process[] =>
  readdirSync('/proc').flatMap((name) => {
    try {
      const read = (file: string): string => readFileSync(`/proc/${Number(name)}/${file}`, 'utf8')
      // A program's name is in brackets, and may hold anything.
      const [, parent] = read('stat').replace(/.*\) /s, '').split(' ')
      return [{ pid: Number(name), parent: Number(parent), command: read('cmdline').replaceAll('\0', ' ').trim() }]
    } catch {
      return [] // no process, or over by now
    }
  })

const descendants = (all: Process[], pid: number): Process[] =>
  all.filter(({ parent }) => parent === pid).flatMap((child) => [child, ...descendants(all, child.pid)])

const crash = (engine: Engine, { pid }: ChildProcess): void => {
  if (pid === undefined) return
  const renderers = descendants(processes(), pid).filter(({ command }) => RENDERERS[engine].test(command))
  for (const renderer of renderers) process.kill(renderer.pid, 'SIGKILL')
}

/**
 * Opens the address in a browser of its own.
 * @param folder its profile; made where it is missing
 */
export const openStandalone = async (engine: Engine, folder: string, address: string): Promise<Standalone> => {
  const found = findBrowser(engine)
  if ('lacks' in found) throw new Error(`${nameOf(engine)} cannot be started: ${found.lacks}`)
  mkdirSync(folder, { recursive: true })
  if (found.start.by === 'webdriver') {
    const { screen, env } = await startDisplay(found.start.display)
    const places = Object.fromEntries(['DATA', 'CACHE', 'CONFIG'].map((what) => [`XDG_${what}_HOME`, join(folder, what)]))
    const browser = start(found.start.binary, [address], { ...env, ...places })
    return { crash: () => crash(engine, browser), kill: () => stop(browser).then(() => stop(screen)) }
  }
  const { executablePath = (engine === 'chromium' ? chromium : firefox).executablePath() } = found.start
  if (engine === 'firefox') writePreferences(folder)
  const args =
    engine === 'chromium'
      ? ['--headless=new', `--user-data-dir=${folder}`, ...CHROMIUM_ARGS, '--disable-breakpad', '--hide-crash-restore-bubble', address]
      : ['--headless', '--new-instance', '--profile', folder, address]
  const browser = start(executablePath, args)
  return { crash: () => crash(engine, browser), kill: () => stop(browser) }
}
