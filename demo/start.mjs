/**
 * `npm run demo`: installs what is missing, builds, starts the server.
 * Invariant: nothing is imported from a package before the packages are there, and a step that fails ends the start
 * with one line that names it and says what to do.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
process.chdir(root)

const step = (title, advice, command, ...args) => {
  console.log(`Pristo demo: ${title} …`)
  // npm is a .cmd file on Windows, which only a shell can start.
  const { status } = spawnSync(command, args, { stdio: 'inherit', shell: process.platform === 'win32' && command === 'npm' })
  if (status !== 0) stop(`${title} failed (\`${[command, ...args].join(' ')}\`). ${advice}`)
}

const stop = (line) => {
  console.error(`Pristo demo: ${line}`)
  process.exit(1)
}

// npm writes this file at the end of every install.
const isInstalled = () => {
  const installed = 'node_modules/.package-lock.json'
  return existsSync(installed) && statSync(installed).mtimeMs >= statSync('package-lock.json').mtimeMs
}

if (Number(process.versions.node.split('.')[0]) < 20) {
  stop(`this is Node ${process.versions.node}; install Node 20 or later and try again.`)
}
if (!isInstalled()) {
  // Without the workspaces: other runtimes are for tests.
  step('installing packages', 'Check the network and the lines above, then try again.', 'npm', 'ci', '--workspaces=false', '--no-audit', '--no-fund')
}
step('building', 'The lines above say where; mend that and try again.', 'node', 'build.mjs')

try {
  const { build } = await import('esbuild')
  await build({
    entryPoints: ['demo/server.ts'],
    outfile: 'dist/demo/server.js',
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    sourcemap: true,
  })
} catch (error) {
  stop(`bundling demo/server.ts failed (${error.message.split('\n')[0]}). The lines above say where; mend that and try again.`)
}

await import(pathToFileURL('dist/demo/server.js').href)
