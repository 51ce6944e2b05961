// @ts-check
/**
 * Takes the steps of a Dockerfile without Docker: every stage is a folder, every path in it is below that folder.
 * Invariant: knows the instructions that ours uses, in the form in which it uses them, and fails at any other.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

/**
 * @typedef {object} Image what the last stage came to
 * @property {string} root the folder that stands for `/`
 * @property {string} cwd where its commands run
 * @property {Record<string, string>} env
 * @property {string[]} entrypoint
 * @property {string[]} cmd
 * @property {string[]} healthcheck the command alone
 * @property {string} user
 * @property {string} volume
 * @property {string[]} expose
 * @property {string} stopSignal
 * @property {string} from what the stage is built on
 */

/**
 * @param {string} file
 * @returns {[string, string][]} instruction and the rest of its line
 */
export const readDockerfile = (file) =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.trim() && !line.startsWith('#'))
    .map((line) => /** @type {[string, string]} */ ([line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]))

/**
 * @param {object} options
 * @param {string} options.file the Dockerfile
 * @param {string} options.folder an empty one, for the stages
 * @param {(target: string) => void} options.copyContext does `COPY . .`
 * @param {Record<string, string>} options.instead what to run in place of a step that the caller has done otherwise
 * @returns {Image}
 */
export const rehearse = ({ file, folder, copyContext, instead }) => {
  /** @type {Record<string, Image>} */
  const stages = {}
  /** @type {Image | undefined} */
  let last

  /** @param {string} from @param {string} name @returns {Image} */
  const begin = (from, name) => {
    const root = join(folder, name)
    mkdirSync(root)
    return { root, cwd: root, env: {}, entrypoint: [], cmd: [], healthcheck: [], user: 'root', volume: '', expose: [], stopSignal: 'SIGTERM', from }
  }

  /** @param {Image} image @param {string} path */
  const place = (image, path) => (path.startsWith('/') ? join(image.root, path) : resolve(image.cwd, path))

  /** @param {Image} image @param {string} step */
  const run = (image, step) => {
    const { status, stderr } = spawnSync('sh', ['-c', instead[step] ?? step], {
      cwd: image.cwd,
      env: { ...process.env, ...image.env },
      encoding: 'utf8',
    })
    if (status !== 0) throw new Error(`RUN ${step}: ended with ${status}\n${stderr}`)
  }

  /** @param {Image} image @param {string} rest */
  const copy = (image, rest) => {
    if (rest === '. .') return copyContext(image.cwd)
    const [, stage = '', source = '', target = ''] = /^--from=(\w+) (\S+) (\S+)$/.exec(rest) ?? []
    const from = stages[stage]
    if (!from) throw new Error(`COPY ${rest}: not understood`)
    cpSync(place(from, source), place(image, target), { recursive: true, verbatimSymlinks: true })
  }

  for (const [instruction, rest] of readDockerfile(file)) {
    if (instruction === 'FROM') {
      const [, from = '', name = 'final'] = /^(\S+)(?: AS (\w+))?$/.exec(rest) ?? []
      last = stages[name] = begin(from, name)
      continue
    }
    const image = last
    if (!image) throw new Error(`${instruction} before FROM`)
    if (instruction === 'WORKDIR') mkdirSync((image.cwd = place(image, rest)), { recursive: true })
    else if (instruction === 'COPY') copy(image, rest)
    else if (instruction === 'RUN') run(image, rest)
    else if (instruction === 'ENV') for (const [, name = '', value = ''] of rest.matchAll(/(\w+)=(\S+)/g)) image.env[name] = value
    else if (instruction === 'USER') image.user = rest
    else if (instruction === 'VOLUME') image.volume = rest
    else if (instruction === 'EXPOSE') image.expose = rest.split(' ')
    else if (instruction === 'STOPSIGNAL') image.stopSignal = rest
    else if (instruction === 'HEALTHCHECK') image.healthcheck = JSON.parse(rest.slice(rest.indexOf('[')))
    else if (instruction === 'ENTRYPOINT') image.entrypoint = JSON.parse(rest)
    else if (instruction === 'CMD') image.cmd = JSON.parse(rest)
    else throw new Error(`${instruction}: not understood`)
  }
  if (!last) throw new Error(`${file} has no stage`)
  return last
}
