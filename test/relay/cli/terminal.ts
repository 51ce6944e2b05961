/** Runs a command in this process, with an environment of its own, and keeps what it says. */
import type { Command } from '../../../src/relay/cli/command.ts'

/** What a command said, and its exit code. */
export const runIn = async (command: Command, env: Record<string, string>, given: Record<string, string> = {}) => {
  const out: string[] = []
  const err: string[] = []
  const code = await command.run(given, { env, isTTY: false, out: (line) => void out.push(line), err: (line) => void err.push(line) })
  return { code, out, err }
}
