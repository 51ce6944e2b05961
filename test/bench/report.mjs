// @ts-check
/**
 * Tables of numbers into one Markdown report and its charts.
 * Invariant: pure. What is said of us follows from the numbers by the same rule as what is said of anybody.
 */
import { median, spread } from './stats.mjs'

/** @typedef {{ key: string, title: string, unit: string, digits: number, better: 'less' | 'more' }} Column */

/**
 * @typedef {object} Row
 * @property {string} id
 * @property {Record<string, number[]>} values by column, one a repeat; empty where it could not be measured
 * @property {Record<string, string>} [why] by column, where it could not
 */

/**
 * @typedef {object} Table
 * @property {string} name of its chart's file
 * @property {string} title
 * @property {string[]} notes how it was measured, a paragraph each
 * @property {Column[]} columns
 * @property {Row[]} rows
 * @property {{ column: string, log?: boolean }} [chart] its column is also the table's headline
 */

/** @typedef {{ id: string, title: string, version: string, stores: string }} Measured one of those who were */

/**
 * @typedef {object} Figures all of one run
 * @property {string} date
 * @property {string} command
 * @property {string[]} machine a fact each
 * @property {number} repeats
 * @property {Measured[]} peers
 * @property {Table[]} tables
 */

/** What is ours in a table: the tag, or the relay. */
const OURS = ['pristo', 'relay']

/** Not a library: what none can be below. */
const FLOOR = 'fetch'

/** Where an event outlives its page. */
const LASTING = ['IndexedDB', 'localStorage']

/** @param {number} value @param {number} digits */
const write = (value, digits) => value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })

/** @param {readonly number[] | undefined} list @param {Column} column */
export const writeCell = (list, { digits }) => {
  if (!list?.length) return '–'
  const [least, most] = spread(list).map((value) => write(value, digits))
  const middle = write(median(list), digits)
  return least === most ? middle : `${middle} (${least}–${most})`
}

/** @param {number} ratio */
const writeRatio = (ratio) => `${write(ratio, ratio < 9.95 ? 2 : ratio < 99.5 ? 1 : 0)} ×`

/** @param {Table} table */
const oursIn = ({ rows }) => rows.find(({ id }) => OURS.includes(id))

/** A row's median over ours; undefined where either is missing, or ours is nothing. @param {Row} row @param {Row | undefined} ours @param {Column} column */
const ratioOf = (row, ours, { key }) => {
  const ratio = median(row.values[key] ?? []) / median(ours?.values[key] ?? [])
  return Number.isFinite(ratio) ? ratio : undefined
}

/** @param {Figures['peers']} peers */
const namer = (peers) => (/** @type {string} */ id) => peers.find((peer) => peer.id === id)?.title ?? id

/**
 * Each cell: the median, the least and the most, and what the median is of ours.
 * @param {Table} table
 * @param {(id: string) => string} nameOf
 */
export const renderTable = (table, nameOf) => {
  const ours = oursIn(table)
  const cell = (/** @type {Row} */ row, /** @type {Column} */ column) => {
    const ratio = row === ours ? undefined : ratioOf(row, ours, column)
    return writeCell(row.values[column.key], column) + (ratio === undefined ? '' : ` · ${writeRatio(ratio)}`)
  }
  return renderRows([
    ['', ...table.columns.map(({ title, unit }) => (unit ? `${title}, ${unit}` : title))],
    ...table.rows.map((row) => {
      const cells = [nameOf(row.id), ...table.columns.map((column) => cell(row, column))]
      return row === ours ? cells.map((text) => `**${text}**`) : cells
    }),
  ])
}

/** @param {string[][]} rows the first is the head */
const renderRows = ([head = [], ...rows]) =>
  [head, head.map((_, nth) => (nth ? '---:' : '---')), ...rows].map((cells) => `| ${cells.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`).join('\n')

/**
 * Who is ahead of ours in a column, the foremost first. `isClear` where even its worst repeat is ahead of our best.
 * @param {Table} table
 * @param {Column} column
 */
export const aheadOfUs = (table, column) => {
  const ours = oursIn(table)?.values[column.key] ?? []
  // As if less were always better.
  const turn = (/** @type {readonly number[]} */ list) => (column.better === 'less' ? list : list.map((value) => -value))
  const [mine, best] = [median(turn(ours)), spread(turn(ours))[0]]
  return table.rows
    .map(({ id, values }) => ({ id, list: turn(values[column.key] ?? []) }))
    .filter(({ list }) => median(list) < mine)
    .sort((a, b) => median(a.list) - median(b.list))
    .map(({ id, list }) => ({ id, isClear: spread(list)[1] < best }))
}

/**
 * In words, a line for each column in which somebody is ahead of us.
 * @param {Table} table
 * @param {(id: string) => string} nameOf
 * @returns {string[]}
 */
export const sayLosses = (table, nameOf) =>
  table.columns.flatMap((column) => {
    const ahead = aheadOfUs(table, column)
    if (!ahead.length) return []
    const names = ahead.map(({ id, isClear }) => {
      const row = table.rows.find((one) => one.id === id)
      const ratio = row && ratioOf(row, oursIn(table), column)
      return `${nameOf(id)} (${[writeCell(row?.values[column.key], column).replace(/ \(.*/, ''), ...(ratio === undefined ? [] : [writeRatio(ratio)]), ...(isClear ? [] : ['within the spread'])].join(', ')})`
    })
    return [`${column.title}: ${writeCell(oursIn(table)?.values[column.key], column).replace(/ \(.*/, '')}${column.unit && ` ${column.unit}`}, behind ${names.join(', ')}`]
  })

/** Why cells are empty. @param {Table} table @param {(id: string) => string} nameOf */
const sayWhy = ({ rows, columns }, nameOf) =>
  rows.flatMap(({ id, why = {} }) => {
    const reasons = new Set(columns.flatMap(({ key }) => why[key] ?? []))
    return [...reasons].map((reason) => `${nameOf(id)}: ${reason}.`)
  })

/**
 * One line a table, of its headline: ours, the best of the others who store events, the best of all others, and the floor.
 * @param {Figures} figures
 */
export const renderHeadlines = ({ tables, peers }) => {
  const nameOf = namer(peers)
  const isLasting = (/** @type {Row} */ { id }) => LASTING.includes(peers.find((peer) => peer.id === id)?.stores ?? '')
  const lines = tables.flatMap((table) => {
    const column = table.columns.find(({ key }) => key === table.chart?.column)
    const ours = oursIn(table)
    if (!column || !ours) return []
    const best = (/** @type {Row[]} */ rows) => {
      const [row] = rows.filter((one) => one !== ours && one.values[column.key]?.length).sort((a, b) => (column.better === 'less' ? 1 : -1) * (median(a.values[column.key] ?? []) - median(b.values[column.key] ?? [])))
      return row ? `${write(median(row.values[column.key] ?? []), column.digits)}, ${nameOf(row.id)}` : '–'
    }
    const say = (/** @type {Row | undefined} */ row) => writeCell(row?.values[column.key], column).replace(/ \(.*/, '')
    const isFloor = (/** @type {Row} */ { id }) => id === FLOOR
    const libraries = table.rows.filter((row) => !isFloor(row))
    return [[`${table.title}: ${column.title}${column.unit && `, ${column.unit}`}`, say(ours), best(libraries.filter(isLasting)), best(libraries), say(table.rows.find(isFloor))]]
  })
  return renderRows([['', 'Pristo', 'best of the others that store events', 'best of all others', 'a bare fetch'], ...lines])
}

/** @param {Figures} figures @returns {string} Markdown */
export const renderReport = (figures) => {
  const { tables, peers, machine, date, command, repeats } = figures
  const nameOf = namer(peers)
  const losses = tables.flatMap((table) => {
    const lines = sayLosses(table, nameOf)
    return lines.length ? [`- **${table.title}**`, ...lines.map((line) => `  - ${line}`)] : []
  })
  return `${[
    '# How fast, beside others',
    `Written by \`${command}\` on ${date}: all numbers are of one run, on one machine, in a real Chromium, against a local site that answers as each one’s own server would. Medians of up to ${repeats} repeats, all libraries in turns; in brackets the least and the most; behind the dot what the median is of ours. How each is set up: [\`peers/\`](../peers); all repeats: [\`figures.json\`](figures.json).`,
    machine.map((fact) => `- ${fact}`).join('\n'),
    renderRows([['', 'version', 'undelivered events wait in'], ...peers.map(({ title, version, stores }) => [title, version || '–', stores])]),
    '## In short',
    renderHeadlines(figures),
    '## Where Pristo is not first',
    losses.length ? losses.join('\n') : 'In no column of this run.',
    ...tables.flatMap((table) => {
      const chart = table.columns.find(({ key }) => key === table.chart?.column)
      return [
        `## ${table.title}`,
        ...(chart ? [`![${table.title}: ${chart.title}](${table.name}.svg)`] : []),
        renderTable(table, nameOf),
        ...sayWhy(table, nameOf),
        ...table.notes,
      ]
    }),
  ].join('\n\n')}\n`
}

/** @param {string} text */
const escape = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`)

const CHART = { width: 760, name: 130, bar: 460, row: 26, head: 40 }

// GitHub shows it on white and on black.
const STYLE = `text{font:13px system-ui,sans-serif;fill:#1f2328}.head{font-weight:600}.bar{fill:#afb8c1}.ours .bar{fill:#0969da}.ours text{font-weight:600}.spread{stroke:#57606a}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.bar{fill:#545d68}.ours .bar{fill:#4493f8}.spread{stroke:#9198a1}}`

/**
 * The chart's column as bars, the best first; undefined where the table has none. Who was not measured has no bar.
 * @param {Table} table
 * @param {(id: string) => string} nameOf
 * @returns {string | undefined} SVG
 */
export const renderChart = (table, nameOf) => {
  const column = table.columns.find(({ key }) => key === table.chart?.column)
  if (!column) return undefined
  const rows = table.rows
    .map(({ id, values }) => ({ id, list: values[column.key] ?? [] }))
    .filter(({ list }) => list.length)
    .sort((a, b) => (column.better === 'less' ? 1 : -1) * (median(a.list) - median(b.list)))
  const all = rows.flatMap(({ list }) => list)
  const most = Math.max(...all, 0) || 1
  const least = Math.min(...all.filter((value) => value > 0), most)
  const isLog = table.chart?.log && most > least
  const from = 10 ** Math.floor(Math.log10(least))
  const scale = (/** @type {number} */ value) => CHART.bar * Math.max(0, isLog ? Math.log(Math.max(value, from) / from) / Math.log(most / from) : value / most)
  const place = (/** @type {number} */ value) => (CHART.name + scale(value)).toFixed(1)
  const bars = rows.map(({ id, list }, nth) => {
    const y = CHART.head + nth * CHART.row
    const [low, high] = spread(list)
    return `<g${OURS.includes(id) ? ' class="ours"' : ''}><text x="${CHART.name - 8}" y="${y + 14}" text-anchor="end">${escape(nameOf(id))}</text><rect class="bar" x="${CHART.name}" y="${y + 2}" width="${Math.max(2, scale(median(list))).toFixed(1)}" height="16" rx="2"/><path class="spread" d="M${place(low)} ${y + 10}H${place(high)}"/><text x="${(CHART.name + scale(high) + 8).toFixed(1)}" y="${y + 14}">${escape(write(median(list), column.digits))}</text></g>`
  })
  const height = CHART.head + rows.length * CHART.row + 8
  const head = `${table.title}: ${column.title}${column.unit && `, ${column.unit}`} (${column.better} is better${isLog ? '; logarithmic' : ''})`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${CHART.width} ${height}" width="${CHART.width}" height="${height}" role="img"><title>${escape(head)}</title><style>${STYLE}</style><text class="head" x="8" y="22">${escape(head)}</text>
${bars.join('\n')}
</svg>
`
}

/** @param {unknown} value */
const round = (value) => (typeof value === 'number' ? Number(value.toPrecision(6)) : value)

/**
 * Numbers to six digits, which no measure here is sure of, and those left out that are none: what is written of the figures can be
 * written of their file again.
 * @param {Figures} figures
 * @returns {Figures}
 */
export const roundFigures = (figures) =>
  JSON.parse(JSON.stringify(figures, (_, value) => (Array.isArray(value) ? value.filter((one) => typeof one !== 'number' || Number.isFinite(one)) : round(value))))

/**
 * All files of a report, by their names.
 * @param {Figures} figures
 * @returns {Record<string, string>}
 */
export const renderFiles = (figures) => ({
  'README.md': renderReport(figures),
  'figures.json': `${JSON.stringify(figures, null, 1).replace(/\[[\s\d.,eE+-]*\]/g, (list) => list.replace(/\s+/g, ''))}\n`,
  ...Object.fromEntries(
    figures.tables.flatMap((table) => {
      const chart = renderChart(table, namer(figures.peers))
      return chart ? [[`${table.name}.svg`, chart]] : []
    }),
  ),
})

/** Where a page shows the headlines. */
const PLACE = /(<!-- npm run bench -->\n)[^]*?(\n<!-- \/npm run bench -->)/

/**
 * A page with the headlines of this run in place of those of the last one.
 * @param {string} page Markdown with the two comments around them
 * @param {Figures} figures
 */
export const putHeadlines = (page, figures) => page.replace(PLACE, (_, before, after) => before + renderHeadlines(figures) + after)
