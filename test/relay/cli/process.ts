/** Runs the real command as a process of its own, from bundles as the package has them. */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bundle, bundles } from '../../../build.mjs'
import { tag } from '../../../src/relay/tag.ts'

/** One line of the log. */
export type Line = Record<string, unknown>

/** A running command. */
export interface Run {
  /** All that it has said so far, both streams. */
  said(): string
  /** The lines of stdout that are JSON. */
  lines(): Line[]
  /** The first such line, now or later, that this is true of. */
  line(isMeant: (line: Line) => boolean): Promise<Line>
  kill(signal: NodeJS.Signals): void
  /** Closes its stdout from this side. */
  deafen(): void
  ended: Promise<{ code: number | null; out: string; err: string }>
}

/** Builds the command's bundles into a package of their own, beside the packages that they import. `remove` ends what still runs. */
export const buildCommand = async () => {
  const root = mkdtempSync(join(process.cwd(), 'node_modules', '.cli-test-'))
  mkdirSync(join(root, 'dist', 'relay'), { recursive: true })
  writeFileSync(join(root, 'package.json'), '{ "version": "1.2.3", "type": "module" }')
  // Not the real one: to make it small takes a second or two, and boundaries.test.ts has it.
  writeFileSync(join(root, 'dist', 'relay', 'tag.js'), `export const tag = ${JSON.stringify(tag)}`)
  const needed = bundles.filter(({ out }) => /relay\/(index|node|spool|cli)\.js$/.test(out))
  for (const one of needed) {
    const { files } = await bundle(one)
    for (const { path, contents } of files) writeFileSync(join(root, 'dist', 'relay', path.split('/').at(-1) ?? ''), contents)
  }
  const runs: Run[] = []
  return {
    /** The command's own file. */
    file: join(root, 'dist', 'relay', 'cli.js'),
    run: (words: string[], env: Record<string, string> = {}): Run => {
      const started = run(join(root, 'dist', 'relay', 'cli.js'), words, env)
      runs.push(started)
      return started
    },
    remove: () => {
      runs.forEach((run) => run.kill('SIGKILL'))
      rmSync(root, { recursive: true })
    },
  }
}

const parseLines = (text: string): Line[] =>
  text.split('\n').flatMap((line) => {
    const parsed: unknown = line.startsWith('{') ? JSON.parse(line) : undefined
    return typeof parsed === 'object' && parsed !== null ? [{ ...parsed }] : []
  })

const run = (file: string, words: string[], env: Record<string, string>): Run => {
  const child = spawn(process.execPath, [file, ...words], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  let err = ''
  child.stderr.on('data', (chunk) => (err += String(chunk)))
  child.stdout.on('data', (chunk) => (out += String(chunk)))
  const whole = () => out.slice(0, out.lastIndexOf('\n') + 1)
  const ended = new Promise<{ code: number | null; out: string; err: string }>((resolve) => child.on('close', (code) => resolve({ code, out, err })))
  const line = async (isMeant: (line: Line) => boolean): Promise<Line> => {
    for (;;) {
      const found = parseLines(whole()).find(isMeant)
      if (found) return found
      const isOver = await Promise.race([ended, new Promise<undefined>((resolve) => child.stdout.once('data', () => resolve(undefined)))])
      if (isOver && !parseLines(out).some(isMeant)) throw new Error(`the command ended before it said so:\n${out}${err}`)
    }
  }
  return {
    said: () => out + err,
    lines: () => parseLines(whole()),
    line,
    kill: (signal) => void child.kill(signal),
    deafen: () => void child.stdout.destroy(),
    ended,
  }
}
