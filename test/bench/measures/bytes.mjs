// @ts-check
/** What a visitor downloads: each one's minimal use, by the same bundler and the same compressors. */

export const title = 'Bytes'

/**
 * @param {import('../main.mjs').Context} context
 * @returns {Promise<import('../report.mjs').Table>}
 */
export const measure = async ({ peers, bundles }) => ({
  name: 'bytes',
  title: 'Bytes of the minimal use',
  notes: [
    'Made by esbuild (minified, for Chrome 92 and later), gzip -9 and brotli -11. “Later” is what a library fetches as further pieces of its own bundle when it wants them; scripts that it fetches from its vendor are not counted.',
  ],
  columns: [
    { key: 'brotli', title: 'brotli', unit: 'bytes', digits: 0, better: 'less' },
    { key: 'gzip', title: 'gzip', unit: 'bytes', digits: 0, better: 'less' },
    { key: 'raw', title: 'raw', unit: 'bytes', digits: 0, better: 'less' },
    { key: 'later', title: 'later, brotli', unit: 'bytes', digits: 0, better: 'less' },
  ],
  rows: peers.flatMap(({ id }) => {
    const bundle = bundles[id]
    return bundle ? [{ id, values: { brotli: [bundle.first.brotli], gzip: [bundle.first.gzip], raw: [bundle.first.raw], later: [bundle.later.brotli] } }] : []
  }),
  chart: { column: 'brotli' },
})
