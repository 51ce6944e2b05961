/**
 * SQLite as src/relay/spool/sqlite.ts finds it.
 * Invariant: the same library as the spool's. Two of them in one process undo each other's locks on a file (https://sqlite.org/howtocorrupt.html, 2.2.1).
 */
const builtIn = 'node:sqlite' // no literal: the types of Node 20 do not know it
const library: unknown = await import(builtIn).catch(() => import('@photostructure/sqlite'))

export const { DatabaseSync }: typeof import('@photostructure/sqlite') = Object(library)
