#!/usr/bin/env node
/**
 * The command `pristo-relay`: reads what was typed, and hands it to one of its commands. The rooms are in `cli/`; only this one wires them.
 * Invariant: stdout has results and stderr the rest; nothing ends in a stack trace that a user could have caused.
 */
import { readFileSync } from 'node:fs'
import { explainCommand, parseFlags } from './cli/args.ts'
import { createCheck } from './cli/check.ts'
import { EXIT_USAGE, UsageError, type Command, type Terminal } from './cli/command.ts'
import { createHealth } from './cli/health.ts'
import { describeCommand, describeProgram } from './cli/help.ts'
import { createServe } from './cli/serve.ts'
import { createSign } from './cli/sign.ts'
import { createSpoolCommands } from './cli/spool.ts'
import { serveRelay } from './node.ts'
import { openSpool } from './spool.ts'

/** Of the package, whose file is two folders up both here and in `dist`. */
const readVersion = (): string => {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : 'unknown'
}

const version = readVersion()

const commands: Readonly<Record<string, Command>> = {
  serve: createServe({ serveRelay, openSpool, version }),
  check: createCheck((url, init) => fetch(url, init), openSpool),
  sign: createSign(Date.now),
  health: createHealth((url, init) => fetch(url, init)),
  ...createSpoolCommands(openSpool),
}

const terminal: Terminal = {
  env: process.env,
  isTTY: process.stdout.isTTY === true,
  out: (line) => void process.stdout.write(`${line}\n`),
  err: (line) => void process.stderr.write(`${line}\n`),
}

/** The variables of flags that were given, as they go before the environment's. */
const overlay = ({ flags }: Command, given: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(given).flatMap(([flag, value]) => (flags[flag]?.variable ? [[flags[flag].variable, value]] : [])))

const runCommand = async (name: string, command: Command, words: string[]): Promise<number> => {
  const asked = parseFlags(name, command, words)
  if (asked.kind === 'wrong') {
    terminal.err(asked.line)
    return EXIT_USAGE
  }
  if (asked.kind === 'help') {
    terminal.out(describeCommand(name, command))
    return 0
  }
  try {
    return await command.run(asked.given, { ...terminal, env: { ...process.env, ...overlay(command, asked.given) } })
  } catch (error) {
    // What is no line of ours is a bug, and shows where it is.
    if (!(error instanceof Error) || !error.message.startsWith('[pristo] ')) throw error
    terminal.err(error.message)
    return error instanceof UsageError ? EXIT_USAGE : 1
  }
}

/** The command that the first words name: some have names of two. */
const find = (words: string[]): { name: string; command: Command; rest: string[] } | undefined => {
  for (const length of [2, 1]) {
    const name = words.slice(0, length).join(' ')
    const command = Object.hasOwn(commands, name) ? commands[name] : undefined
    if (command) return { name, command, rest: words.slice(length) }
  }
  return undefined
}

const main = async (words: string[]): Promise<number> => {
  const [name] = words
  if (name === '--help' || name === '-h') terminal.out(describeProgram(commands))
  else if (name === '--version' || name === '-v') terminal.out(version)
  else if (name === undefined) {
    terminal.err(describeProgram(commands))
    return EXIT_USAGE
  } else {
    const found = find(words)
    if (found) return runCommand(found.name, found.command, found.rest)
    terminal.err(explainCommand(name, Object.keys(commands)))
    return EXIT_USAGE
  }
  return 0
}

// Node 22 says of its own SQLite that it is experimental, amid the lines of a log, to somebody who has not chosen it. All else is told as ever.
const tell = process.listeners('warning')
process.removeAllListeners('warning')
process.on('warning', (warning) => {
  if (warning.name !== 'ExperimentalWarning' || !/SQLite/.test(warning.message)) for (const listener of tell) listener(warning)
})

// A log that nobody reads any more (a closed pipe) must not end the service.
process.stdout.on('error', () => undefined)
process.exitCode = await main(process.argv.slice(2))
