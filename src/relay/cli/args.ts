/**
 * What was typed → the values of a command's flags, or one line that says what is wrong.
 * Invariant: a line shows the name of what was given, never a value: somebody may have pasted a key.
 */
import { parseArgs } from 'node:util'
import { describeGiven } from '../given.ts'
import type { Command } from './command.ts'

/** What the words after a command's name ask for. */
export type Asked = { kind: 'run'; given: Record<string, string> } | { kind: 'help' } | { kind: 'wrong'; line: string }

const list = (names: readonly string[]): string => names.join(', ')

/** A name as it was typed, where it looks like one; a UUID, an email or a token does not. */
const show = (typed: string): string => (/^-{0,2}[a-z][a-z-]{0,29}$/i.test(typed) ? typed : describeGiven(typed))

/** The line for a first word that is no command. */
export const explainCommand = (typed: string, commands: readonly string[]): string =>
  `[pristo] command: got ${show(typed)}; allowed are ${list(commands)}, --help and --version`

/** Reads flags as `--port 80` or `--port=80`; where one is given twice, the last counts. */
export const parseFlags = (name: string, { flags }: Pick<Command, 'flags'>, words: string[]): Asked => {
  const wrong = (what: string, why: string): Asked => ({ kind: 'wrong', line: `[pristo] ${what}: ${why}` })
  const allowed = `allowed for ${name} are ${list([...Object.keys(flags), 'help'].map((flag) => `--${flag}`))}`
  const options = Object.fromEntries(Object.keys(flags).map((flag) => [flag, { type: 'string' as const }]))
  // Not strict: its own messages have several lines, and repeat values.
  const { tokens } = parseArgs({
    args: words,
    options: { ...options, help: { type: 'boolean', short: 'h' } },
    strict: false,
    tokens: true,
    allowPositionals: true,
  })
  if (tokens.some((token) => token.kind === 'option' && token.name === 'help')) return { kind: 'help' }
  const given: Record<string, string> = {}
  for (const token of tokens) {
    if (token.kind === 'positional') return wrong('flag', `got ${show(token.value)}; ${allowed}`)
    if (token.kind !== 'option') continue
    const flag = Object.hasOwn(flags, token.name) ? flags[token.name] : undefined
    if (!flag) return wrong('flag', `got ${show(token.rawName)}; ${allowed}`)
    const isMissing = token.value === undefined || (!token.inlineValue && token.value.startsWith('-'))
    if (token.value === undefined || isMissing) return wrong(`--${token.name}`, `got nothing; allowed is ${flag.value}: ${flag.what}`)
    given[token.name] = token.value
  }
  return { kind: 'run', given }
}
