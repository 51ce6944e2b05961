/**
 * What `--help` prints.
 * Invariant: flags and variables come from the tables that the parser and the settings are read by.
 */
import type { Command, Flag } from './command.ts'
import { VARIABLES } from './settings.ts'

/** Lines of two columns, the first as wide as its widest entry. */
const columns = (rows: readonly (readonly [string, string])[]): string[] => {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`)
}

const section = (title: string, lines: readonly string[]): string[] => (lines.length ? ['', `${title}:`, ...lines] : [])

const describeFlag = ([name, { value, what, variable }]: [string, Flag]): readonly [string, string] => [
  `--${name} ${value}`,
  variable ? `${what} (overrides ${variable})` : what,
]

const describeVariable = (name: string): readonly [string, string] => {
  const { what = '', fallback = '' } = VARIABLES[name] ?? {}
  return [name, `${what} (${fallback === 'required' ? fallback : `default: ${fallback}`})`]
}

/** Help of the whole program. */
export const describeProgram = (commands: Readonly<Record<string, Command>>): string =>
  [
    'pristo-relay: takes events from a website and passes them to Pristo, with the key that no browser may see',
    ...section('Usage', ['  pristo-relay <command> [flags]', '  pristo-relay <command> --help', '  pristo-relay --version']),
    ...section('Commands', columns(Object.entries(commands).map(([name, { summary }]) => [name, summary]))),
    ...section('To begin with', [
      '  export PRISTO_API_KEY=… PRISTO_POPULATION_ID=…   both from Pristo, both UUIDs',
      '  pristo-relay check                               is everything right?',
      '  pristo-relay serve                               then start it',
    ]),
  ].join('\n')

/** Help of one command. */
export const describeCommand = (name: string, { summary, about, flags, variables, examples }: Command): string =>
  [
    `pristo-relay ${name}: ${summary}`,
    ...section('Usage', [`  pristo-relay ${name}${Object.keys(flags).length ? ' [flags]' : ''}`]),
    '',
    ...about,
    ...section('Flags', columns(Object.entries(flags).map(describeFlag))),
    ...section('Environment', columns(variables.map(describeVariable))),
    ...section(
      examples.length > 1 ? 'Examples' : 'Example',
      examples.map((example) => `  ${example}`),
    ),
  ].join('\n')
