// @vitest-environment node
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { explainCommand, parseFlags } from '../../../src/relay/cli/args.ts'
import { createCheck } from '../../../src/relay/cli/check.ts'
import { createHealth } from '../../../src/relay/cli/health.ts'
import { describeCommand, describeProgram } from '../../../src/relay/cli/help.ts'
import { createServe } from '../../../src/relay/cli/serve.ts'
import { VARIABLES } from '../../../src/relay/cli/settings.ts'
import { createSign } from '../../../src/relay/cli/sign.ts'
import { createSpoolCommands } from '../../../src/relay/cli/spool.ts'
import { serveRelay } from '../../../src/relay/node.ts'
import { openSpool } from '../../../src/relay/spool.ts'
import { KEY } from '../harness.ts'

const commands = {
  serve: createServe({ serveRelay, openSpool, version: '1' }),
  check: createCheck(fetch, openSpool),
  sign: createSign(Date.now),
  health: createHealth(fetch),
  ...createSpoolCommands(openSpool),
}
const { flags } = commands.serve
const parse = (...words: string[]) => parseFlags('serve', { flags }, words)
const ALLOWED = 'allowed for serve are --port, --host, --path, --admin-port, --admin-host, --log-format, --log-level, --help'

describe('what was typed', () => {
  it('is read with a space or an equals sign; of one flag the last counts', () => {
    expect(parse('--port', '80', '--log-format=json', '--port=81')).toEqual({ kind: 'run', given: { port: '81', 'log-format': 'json' } })
    expect(parse()).toEqual({ kind: 'run', given: {} })
  })

  it.each([['--help'], ['-h'], ['--port', '80', '--help']])('asks for help: %s %s', (...words) => {
    expect(parse(...words)).toEqual({ kind: 'help' })
  })

  it.each<[string[], string]>([
    [['--prot', '80'], `[pristo] flag: got --prot; ${ALLOWED}`],
    [['--constructor'], `[pristo] flag: got --constructor; ${ALLOWED}`],
    [['-p', '80'], `[pristo] flag: got -p; ${ALLOWED}`],
    [['8080'], `[pristo] flag: got a string of 4 characters; ${ALLOWED}`],
    [['--port'], '[pristo] --port: got nothing; allowed is <number>: port of the relay and the tag'],
    [['--port', '--host', 'x'], '[pristo] --port: got nothing; allowed is <number>: port of the relay and the tag'],
  ])('is refused in one line that says what is allowed: %s', (words, line) => {
    expect(parse(...words)).toEqual({ kind: 'wrong', line })
  })

  it('is never shown where it may be a key', () => {
    for (const words of [[KEY], [`--${KEY}`], [`--api-key=${KEY}`], ['--api-key', KEY]]) expect(JSON.stringify(parse(...words))).not.toContain(KEY)
    expect(explainCommand(KEY, ['serve'])).toBe('[pristo] command: got a string of 36 characters; allowed are serve, --help and --version')
    expect(explainCommand('server', ['serve', 'check'])).toBe('[pristo] command: got server; allowed are serve, check, --help and --version')
  })
})

describe('--help', () => {
  it('names every command', () => {
    const text = describeProgram(commands)
    for (const [name, { summary }] of Object.entries(commands)) expect(text).toMatch(RegExp(`  ${name} +${summary}`))
  })

  it.each(Object.entries(commands))('of %s shows its flags, its variables with their defaults, and an example', (name, command) => {
    const text = describeCommand(name, command)
    for (const flag of Object.keys(command.flags)) expect(text).toContain(`--${flag} <`)
    for (const variable of command.variables) expect(text).toMatch(RegExp(`^  ${variable} .* \\((default: .+|required)\\)$`, 'm'))
    expect(text).toMatch(/\nExamples?:\n  .*pristo-relay/)
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(150)
  })

  it('of check names what serve reads: it says whether serve would start', () => {
    expect(commands.check.variables).toEqual(commands.serve.variables)
  })

  it('of sign calls nothing required that a flag makes needless', () => {
    expect(describeCommand('sign', commands.sign)).not.toMatch(/^  PRISTO_.*required/m)
  })

  it('leaves out no variable that the code reads', () => {
    const code = ['env', 'spool/env', 'cli/serve', 'cli/settings', 'cli/sign'].map((room) => readFileSync(`src/relay/${room}.ts`, 'utf8')).join('\n')
    const read = new Set([...code.matchAll(/'(PRISTO_[A-Z_]+|PORT|HOST)'/g)].map(([, name]) => name))
    expect([...read].sort()).toEqual(Object.keys(VARIABLES).sort())
    const shown = new Set(Object.values(commands).flatMap(({ variables }) => variables))
    expect([...shown].sort()).toEqual(Object.keys(VARIABLES).sort())
    const readme = readFileSync('README.md', 'utf8')
    for (const name of [...Object.keys(VARIABLES), ...Object.keys(commands)]) expect(readme).toContain(`\`${name}\``)
  })
})
