// @ts-check
/**
 * Publishes the version that package.json names: `npm run release`, in CI; with `-- --dry-run` anywhere, up to the door.
 * Invariant: nothing leaves before every check has passed; what is published is a commit of main, which then has the version as its tag.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const isDryRun = process.argv.includes('--dry-run')

/** @type {{ version: string, repository?: unknown }} */
const { version, repository } = JSON.parse(readFileSync('package.json', 'utf8'))
const tag = `v${version}`

/** @param {string[]} args */
const git = (...args) => execFileSync('git', args, { encoding: 'utf8' }).trim()

/** @param {string[]} args */
const npm = (...args) => {
  console.log(`\n> npm ${args.join(' ')}`)
  return spawnSync('npm', args, { stdio: 'inherit' }).status === 0
}

/** Where npm can prove who built a package, and from what: docs.npmjs.com/generating-provenance-statements (November 2026). */
const hasProof = ({ ACTIONS_ID_TOKEN_REQUEST_URL, SIGSTORE_ID_TOKEN } = process.env) => !!(ACTIONS_ID_TOKEN_REQUEST_URL || SIGSTORE_ID_TOKEN)

/** What is wrong with what would be published, one line each. */
const faultsOfVersion = () => {
  const branch = git('branch', '--show-current')
  const isDated = RegExp(`^## ${version.replaceAll('.', '\\.')} \\(\\d{4}-\\d\\d-\\d\\d\\)$`, 'm').test(readFileSync('CHANGELOG.md', 'utf8'))
  return [
    ...(git('status', '--porcelain') ? ['there are changes that are not committed'] : []),
    ...(branch === 'main' ? [] : [`this is ${branch || 'no branch'}, not main`]),
    ...(isDated ? [] : [`CHANGELOG.md has no line "## ${version} (year-month-day)"`]),
    ...(JSON.parse(readFileSync('package-lock.json', 'utf8')).version === version ? [] : ['package-lock.json has another version']),
    ...(git('tag', '--list', tag) ? [`${tag} is there already: npm version patch|minor|major`] : []),
  ]
}

/** What is wrong with the place from which it would be published. */
const faultsOfPlace = () => [
  ...(repository ? [] : ['package.json names no repository: npm compares it with the one that builds']),
  ...(hasProof() ? [] : ['no OIDC token: run it in GitHub Actions with "permissions: id-token: write", or in GitLab CI with SIGSTORE_ID_TOKEN']),
]

const main = () => {
  const faults = [...faultsOfVersion(), ...(isDryRun ? [] : faultsOfPlace())]
  for (const fault of faults) console.error(`release: ${fault}`)
  if (isDryRun) for (const fault of faultsOfPlace()) console.log(`release: would not be published from here: ${fault}`)
  if (faults.length) return false
  if (!npm('test')) return false
  if (isDryRun) return npm('pack', '--dry-run')
  if (!npm('publish', '--provenance', '--access', 'public')) return false
  git('tag', tag)
  console.log(`\n${tag} is published. Its tag: git push origin ${tag}`)
  return true
}

process.exitCode = main() ? 0 : 1
