// @vitest-environment node
/** Who may know whom (DESIGN.md, "Layout"), and what a bundle may weigh. The witness is what the bundler itself saw. */
import { transformSync } from 'esbuild'
import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { bundle, bundles, judge, makeTag, weigh } from '../build.mjs'

const rooms = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => posix.join('src', name))

/** What a room imports at run time: rooms by path, packages and built-in modules by name. */
const imports = new Map<string, string[]>()
const built = new Map<string, Awaited<ReturnType<typeof bundle>>>()

beforeAll(async () => {
  const results = await Promise.all(bundles.map(async (one) => ({ one, result: await bundle(one) })))
  for (const { one, result } of results) {
    built.set(one.out, result)
    for (const [path, input] of Object.entries(result.meta.inputs)) {
      if (path.startsWith('src/')) imports.set(path, input.imports.map((found) => packageOf(found.path) ?? found.path))
    }
  }
}, 60_000) // a busy machine takes its time

const packageOf = (path: string): string | undefined => path.match(/.*node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1]

const whoImports = (isMeant: (name: string) => boolean): string[] =>
  [...imports].filter(([, names]) => names.some(isMeant)).map(([room]) => room)

/** Whether a room is to run in any browser, or in any runtime of the relay. */
const isPortable = (room: string): boolean =>
  bundles.some(({ out, platform }) => platform !== 'node' && built.get(out)?.meta.inputs[room])

const isRelay = (path: string): boolean => path.startsWith('src/relay/')

describe('imports', () => {
  test('the browser part and the relay share contract.ts, and not even a type besides', () => {
    // From the text: the bundler does not see imports of types.
    const shared = rooms.flatMap((room) =>
      Array.from(readFileSync(room, 'utf8').matchAll(/['"](\.{1,2}\/[^'"]+\.ts)['"]/g), ([, path = '']) => ({
        room,
        target: posix.join(posix.dirname(room), path),
      })).filter(({ target }) => isRelay(room) !== isRelay(target)),
    )
    expect(new Set(shared.map(({ target }) => target))).toEqual(new Set(['src/contract.ts']))
  })

  test('they make no circle', () => {
    const circles: string[][] = []
    const walk = (room: string, way: string[]): void => {
      if (way.includes(room)) circles.push([...way.slice(way.indexOf(room)), room])
      else for (const next of imports.get(room) ?? []) walk(next, [...way, room])
    }
    for (const room of imports.keys()) walk(room, [])
    expect(circles).toEqual([])
  })

  test('idb-keyval is known to outbox.ts alone', () => {
    expect(whoImports((name) => name === 'idb-keyval')).toEqual(['src/outbox.ts'])
  })

  test('zod is known to the relay alone', () => {
    const rooms = whoImports((name) => name === 'zod')
    expect(rooms.length).toBeGreaterThan(0)
    expect(rooms.filter((room) => !isRelay(room))).toEqual([])
  })

  test("no room but the relay's door for Node, and what it alone enters, imports a module of Node or srvx", () => {
    const onNode = whoImports((name) => name.startsWith('node:') || name === 'srvx')
    expect(onNode).toContain('src/relay/node.ts')
    expect(onNode.filter(isPortable)).toEqual([])
  })
})

/** The code of a room without types, comments and plain strings. */
const codeOf = (room: string): string =>
  transformSync(readFileSync(room, 'utf8'), { loader: 'ts' })
    .code.replace(/\/\*[^]*?\*\/|\/\/.*/g, '')
    .replace(/"(?:\\.|[^"\\])*"/g, '""')

/** Which of the names a room uses as variables: not as a property (`page.window`) and not as a key (`window:`). */
const globalsIn = (room: string, names: string[]): string[] => {
  const code = codeOf(room)
  return names.filter((name) => RegExp(`(?<![.\\w$])${name}(?![\\w$]|:)`).test(code))
}

describe('what watches a page', () => {
  test('enters no room of the core but contract.ts, so that it weighs the same beside any tracker', () => {
    const { inputs = {} } = built.get('dist/auto.js')?.meta ?? {}
    expect(Object.keys(inputs).filter((room) => !room.startsWith('src/auto/'))).toEqual(['src/contract.ts'])
  })

  test('is in the tag, and not in the slim one or the module', () => {
    const holding = bundles.filter(({ out, part }) => part === 'browser' && built.get(out)?.meta.inputs['src/auto/index.ts'])
    expect(holding.map(({ out }) => out)).toEqual(['dist/pristo.js', 'dist/auto.js'])
  })
})

describe('globals', () => {
  const browser = ['document', 'window', 'navigator', 'location', 'history', 'localStorage', 'sessionStorage', 'indexedDB', 'self', 'addEventListener', 'XMLHttpRequest']
  const node = ['process', 'Buffer', 'require', 'module', '__dirname', 'global']

  test('those of a browser are touched in page.ts, by the tags, and by what watches a page', () => {
    const touching = rooms.filter((room) => globalsIn(room, browser).length && !room.startsWith('src/auto/'))
    expect(touching.sort()).toEqual(['src/install.ts', 'src/page.ts', 'src/snippet.ts'])
  })

  test("those of Node are touched in the relay's door for Node, and what it alone enters", () => {
    expect(rooms.filter(isPortable).flatMap((room) => globalsIn(room, node).map((name) => `${room}: ${name}`))).toEqual([])
  })
})

describe('bundles', () => {
  test.for(bundles.map((one) => [one.out, one] as const))('%s holds its limit and nothing of the other part', ([out, one]) => {
    const { files = [], meta = { inputs: {}, outputs: {} } } = built.get(out) ?? {}
    const code = files.find(({ path }) => path.endsWith('.js'))?.contents ?? new Uint8Array()
    expect(code.length).toBeGreaterThan(0)
    expect(judge(one, weigh(code).brotli, meta)).toEqual([])
  })

  test('the tag that a relay is given is the script-tag bundle, and no other bundle of the relay has it inside', async () => {
    const codeAt = (out: string): Buffer => Buffer.from(built.get(out)?.files.find(({ path }) => path.endsWith('.js'))?.contents ?? '')
    const script = codeAt('dist/pristo.js')
    const { tag } = await import(`data:text/javascript;base64,${codeAt('dist/relay/tag.js').toString('base64')}`)
    expect(tag).toEqual(makeTag(script))
    const some = script.toString().slice(0, 60)
    expect(bundles.filter(({ out, part }) => part === 'relay' && codeAt(out).includes(some)).map(({ out }) => out)).toEqual(['dist/relay/tag.js'])
  })

  test('a bundle over its limit, or with a package of the other part, fails the build', () => {
    const [one] = bundles
    if (!one?.limit) throw new Error('the first bundle has a limit')
    const meta = { inputs: { 'node_modules/zod/index.js': { bytes: 1, imports: [] } }, outputs: {} }
    expect(judge(one, one.limit, { inputs: {}, outputs: {} })).toEqual([])
    expect(judge(one, one.limit + 1, meta)).toEqual([
      `dist/pristo.js is 1 bytes over its limit: ${one.limit + 1} of ${one.limit} bytes of brotli`,
      'dist/pristo.js contains zod, which no browser bundle may',
    ])
  })
})
