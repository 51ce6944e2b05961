// @ts-check
/**
 * How each recipe is run.
 * Invariant: by the scripts of its own package.json, as its README says.
 */

/** @typedef {import('../support/browsers/find.mjs').Engine} Engine */

/**
 * What a run has to know of a recipe.
 * @typedef {object} Recipe
 * @property {(port: string) => string[]} start what starts it as built; `PORT` and `HOST` are in the environment too
 * @property {Engine[]} [engines] Chromium alone where it is absent
 * @property {boolean} [isPlain] has nothing to build
 * @property {boolean} [hasRouter] `/about` is a page of its own
 * @property {boolean} [isRendered] the server itself renders the page
 * @property {string} [proxy] the file that names 127.0.0.1:8787, where its relay is as a process of its own
 * @property {boolean} [isHot] is edited, too, while Vite's development server runs
 * @property {string} [html] the page as a file: whatever listens to WebKit's console has to be in it
 */

/** A script of Vite's: `dev` or `preview`. */
export const vite = (/** @type {string} */ script) => (/** @type {string} */ port) => ['npm', 'run', script, '--', '--host', '127.0.0.1', '--port', port, '--strictPort']
const start = () => ['npm', 'start']

/** Every folder of `demo/recipes`. @type {Record<string, Recipe>} */
export const recipes = {
  plain: { start, isPlain: true, html: 'index.html', engines: ['chromium', 'firefox', 'webkit'] },
  'vite-react': { start: vite('preview'), html: 'dist/index.html', engines: ['chromium', 'firefox', 'webkit'], isHot: true },
  vue: { start: vite('preview'), hasRouter: true, proxy: 'vite.config.ts' },
  sveltekit: { start, hasRouter: true, isRendered: true },
  astro: { start, hasRouter: true, isRendered: true },
  next: { start: (port) => ['npm', 'start', '--', '--port', port, '--hostname', '127.0.0.1'], hasRouter: true, isRendered: true },
}
