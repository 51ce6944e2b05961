/**
 * What a command of `pristo-relay` is: what it says of itself, which flags it has, and what it does.
 * Invariant: a command touches the process through its terminal only; help and parser read the same tables.
 */

/** Where a command reads its settings and says what it has to say. */
export interface Terminal {
  env: Readonly<Record<string, string | undefined>>
  /** Whether somebody watches stdout, rather than a file or another program. */
  isTTY: boolean
  /** One line to stdout: the result. */
  out(line: string): void
  /** One line to stderr: what goes on, and what went wrong. */
  err(line: string): void
}

/** A flag; each takes a value. */
export interface Flag {
  /** What help shows in the value's place, such as `<port>`. */
  value: string
  what: string
  /** The variable that the flag overrides, where there is one: a command then finds the value in its `env`. */
  variable?: string
}

/** One command. */
export interface Command {
  /** One line for the list of all commands. */
  summary: string
  /** What a newcomer has to know, in lines. */
  about: readonly string[]
  flags: Readonly<Record<string, Flag>>
  /** The environment variables that it reads, by name. */
  variables: readonly string[]
  /** One line each. */
  examples: readonly string[]
  /**
   * Resolves to the exit code: 0 done, 1 not done. Throws where a setting cannot be used: one line, with `[pristo]` before it.
   * `given` has the flags' values without their dashes; those of a variable are in `terminal.env` as well.
   */
  run(given: Readonly<Record<string, string | undefined>>, terminal: Terminal): Promise<number>
}

/** Exit code of a call that cannot be understood, as of most tools since getopt. */
export const EXIT_USAGE = 2

/** A flag that is missing or holds what it may not; its message is one line, with `[pristo]` before it. */
export class UsageError extends Error {}
