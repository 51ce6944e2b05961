/**
 * Why a server could not start, in one line for whoever started it.
 * Invariant: names the setting to change, never what another setting holds.
 */

/** `error` is what a start was rejected with; `names` are the variables that this server's port and host came from. */
export const explainFailure = (error: unknown, names: { port: string; host: string } = { port: 'PORT', host: 'HOST' }): string => {
  const message = error instanceof Error ? error.message : 'the relay cannot start'
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'EADDRINUSE') return `[pristo] ${names.port}: this one is taken; allowed is a free one, or 0 for any`
  if (code === 'EACCES') return `[pristo] ${names.port}: this one is not allowed to this user; allowed is one from 1024 up`
  return typeof code === 'string' ? `[pristo] ${names.host}: cannot listen there (${code}); allowed is a name or an address of this machine` : message
}
