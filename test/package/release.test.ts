/** What `npm run release` lets out, and what not. Git is real; npm is a script that writes down what it is asked for. */
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'

const IN_CI = { ACTIONS_ID_TOKEN_REQUEST_URL: 'https://ci.example' }

/** A repository whose version 1.2.3 could be released as it is, but for what a test changes in it. */
const arrange = ({ manifest = {}, changelog = '# Changelog\n\n## 1.2.3 (2026-11-24)\n', tests = 0 } = {}) => {
  const folder = mkdtempSync(join(tmpdir(), 'pristo-release-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const repository = join(folder, 'repository')
  const bin = join(folder, 'bin')
  mkdirSync(repository)
  mkdirSync(bin)
  const log = join(folder, 'npm.log')
  writeFileSync(join(bin, 'npm'), `#!/bin/sh\necho "$*" >> '${log}'\n[ "$1" = test ] && exit ${tests}\nexit 0\n`)
  chmodSync(join(bin, 'npm'), 0o755)
  const versions = { name: 'pristo', version: '1.2.3', repository: 'github:someone/pristo', ...manifest }
  writeFileSync(join(repository, 'package.json'), JSON.stringify(versions))
  writeFileSync(join(repository, 'package-lock.json'), JSON.stringify({ version: '1.2.3' }))
  writeFileSync(join(repository, 'CHANGELOG.md'), changelog)
  copyFileSync(fileURLToPath(new URL('../../release.mjs', import.meta.url)), join(repository, 'release.mjs'))
  const git = (...args: string[]): string =>
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b.co', ...args], { cwd: repository, encoding: 'utf8' }).trim()
  git('init', '--quiet', '--initial-branch=main')
  git('add', '.')
  git('commit', '--quiet', '--message=1.2.3')

  const release = (args: string[] = [], env: Record<string, string> = IN_CI) => {
    const { PATH = '' } = process.env
    const { status, stderr } = spawnSync(process.execPath, ['release.mjs', ...args], {
      cwd: repository,
      env: { PATH: bin + delimiter + PATH, ...env },
      encoding: 'utf8',
    })
    const asked = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []
    return { isDone: status === 0, faults: stderr.split('\n').filter(Boolean), asked, tags: git('tag') }
  }
  return { release, git, write: (name: string, text: string) => writeFileSync(join(repository, name), text) }
}

test('a clean main whose tests pass is published with its provenance, and tagged', () => {
  const { release } = arrange()
  expect(release()).toEqual({ isDone: true, faults: [], asked: ['test', 'publish --provenance --access public'], tags: 'v1.2.3' })
})

test('a dry run needs no CI, tests all the same, and lets nothing out', () => {
  const { release } = arrange({ manifest: { repository: undefined } })
  expect(release(['--dry-run'], {})).toEqual({ isDone: true, faults: [], asked: ['test', 'pack --dry-run'], tags: '' })
})

test('failing tests let nothing out', () => {
  const { release } = arrange({ tests: 1 })
  expect(release()).toEqual({ isDone: false, faults: [], asked: ['test'], tags: '' })
})

test.for<[why: string, spoil: (repository: ReturnType<typeof arrange>) => void, fault: string]>([
  ['with changes', ({ write }) => write('README.md', 'more'), 'there are changes that are not committed'],
  ['of another branch', ({ git }) => git('checkout', '--quiet', '-b', 'next'), 'this is next, not main'],
  ['of no branch', ({ git }) => git('checkout', '--quiet', '--detach'), 'this is no branch, not main'],
  ['that was released before', ({ git }) => git('tag', 'v1.2.3'), 'v1.2.3 is there already: npm version patch|minor|major'],
])('a tree %s is refused, before any test runs', ([, spoil, fault]) => {
  const repository = arrange()
  spoil(repository)
  for (const args of [[], ['--dry-run']]) expect(repository.release(args)).toMatchObject({ isDone: false, faults: [`release: ${fault}`], asked: [] })
})

test('a version that the changelog does not have, or has not dated, is refused', () => {
  const faults = ['release: CHANGELOG.md has no line "## 1.2.3 (year-month-day)"']
  for (const changelog of ['## 1.2.3 (unreleased)\n', '## 1.2.30 (2026-11-24)\n', '## 1x2.3 (2026-11-24)\n'])
    expect(arrange({ changelog }).release()).toMatchObject({ isDone: false, faults, asked: [] })
})

test('a version that the lock file does not have is refused', () => {
  const { release } = arrange({ manifest: { version: '1.2.4' }, changelog: '## 1.2.4 (2026-11-24)\n' })
  expect(release()).toMatchObject({ isDone: false, faults: ['release: package-lock.json has another version'], asked: [] })
})

test('where npm could not prove who built it, it is not published', () => {
  const { faults, asked } = arrange({ manifest: { repository: undefined } }).release([], {})
  expect(faults).toEqual([expect.stringContaining('no repository'), expect.stringContaining('no OIDC token')])
  expect(asked).toEqual([])
})
