/** The report says what the numbers say, of us as of anybody. */
import { describe, expect, it } from 'vitest'
import { aheadOfUs, putHeadlines, renderChart, renderFiles, renderReport, renderTable, roundFigures, sayLosses, type Figures, type Table } from './report.mjs'

const less = { key: 'cost', title: 'cost', unit: 'ms', digits: 1, better: 'less' } as const
const more = { key: 'kept', title: 'kept', unit: '%', digits: 0, better: 'more' } as const

const table: Table = {
  name: 'one',
  title: 'One thing',
  notes: ['How it was measured.'],
  columns: [less, more],
  rows: [
    { id: 'pristo', values: { cost: [2, 1, 3], kept: [100] } },
    { id: 'quick', values: { cost: [0.5, 0.4, 0.6], kept: [3] } },
    { id: 'near', values: { cost: [1.9, 1.8, 2.5], kept: [100] } },
    { id: 'slow', values: { cost: [20, 10, 30], kept: [] }, why: { kept: 'nobody could say' } },
  ],
  chart: { column: 'cost' },
}

const figures: Figures = {
  date: '2026-11-24',
  command: 'npm run bench',
  machine: ['2 × a processor'],
  repeats: 3,
  peers: [
    { id: 'pristo', title: 'Pristo', version: '0.1.0', stores: 'IndexedDB' },
    { id: 'quick', title: 'Quick & <dirty>', version: '1.0.0', stores: 'nothing' },
    { id: 'near', title: 'Near', version: '2.0.0', stores: 'memory' },
    { id: 'slow', title: 'Slow', version: '', stores: 'localStorage' },
  ],
  tables: [table],
}

const nameOf = (id: string) => id

describe('who is ahead of us', () => {
  it('is named, the foremost first, and whether every repeat says so', () => {
    expect(aheadOfUs(table, less)).toEqual([
      { id: 'quick', isClear: true },
      { id: 'near', isClear: false },
    ])
  })

  it('is nobody who is as good, worse, or not measured', () => {
    expect(aheadOfUs(table, more)).toEqual([])
  })

  it('has more where more is better', () => {
    const lost = { ...table, rows: table.rows.map((row) => (row.id === 'pristo' ? { ...row, values: { ...row.values, kept: [90, 91, 92] } } : row)) }
    expect(aheadOfUs(lost, more)).toEqual([{ id: 'near', isClear: true }])
  })

  it('stands in the report in words, with how far', () => {
    expect(sayLosses(table, nameOf)).toEqual(['cost: 2.0 ms, behind quick (0.5, 0.25 ×), near (1.9, 0.95 ×, within the spread)'])
    expect(renderReport(figures)).toMatch(/## Where Pristo is not first\n\n- \*\*One thing\*\*\n {2}- cost: 2\.0 ms, behind Quick/)
  })

  it('is said to be nobody only where it is nobody', () => {
    const alone = { ...figures, tables: [{ ...table, rows: table.rows.filter(({ id }) => id === 'pristo' || id === 'slow') }] }
    expect(renderReport(alone)).toContain('In no column of this run.')
    expect(renderReport(figures)).not.toContain('In no column')
  })
})

describe('a table', () => {
  it('has the median, the least and the most, and what it is of ours', () => {
    const lines = renderTable(table, nameOf).split('\n')
    expect(lines[2]).toBe('| **pristo** | **2.0 (1.0–3.0)** | **100** |')
    expect(lines[5]).toBe('| slow | 20.0 (10.0–30.0) · 10.0 × | – |')
  })

  it('is followed by why a cell is empty', () => {
    expect(renderReport(figures)).toContain('Slow: nobody could say.')
  })

  it('has no ratio to nothing', () => {
    const free = { ...table, rows: [{ id: 'pristo', values: { cost: [0] } }, { id: 'slow', values: { cost: [7] } }] }
    expect(renderTable(free, nameOf)).not.toContain('×')
  })
})

describe('the headlines', () => {
  it('hold ours against those that store events, against all, and against the floor', () => {
    const withFloor = { ...figures, tables: [{ ...table, rows: [...table.rows, { id: 'fetch', values: { cost: [0.1] } }] }] }
    expect(putHeadlines('before\n<!-- npm run bench -->\nold\n<!-- /npm run bench -->\nafter', withFloor)).toBe(
      'before\n<!-- npm run bench -->\n|  | Pristo | best of the others that store events | best of all others | a bare fetch |\n| --- | ---: | ---: | ---: | ---: |\n| One thing: cost, ms | 2.0 | 20.0, Slow | 0.5, Quick & <dirty> | 0.1 |\n<!-- /npm run bench -->\nafter',
    )
  })
})

describe('a chart', () => {
  it('has a bar for each who was measured, the best on top, and its text is text', () => {
    const svg = renderChart(table, (id) => figures.peers.find((peer) => peer.id === id)?.title ?? id) ?? ''
    expect([...svg.matchAll(/text-anchor="end">(.*?)</g)].map(([, name]) => name)).toEqual(['Quick &#38; &#60;dirty&#62;', 'Near', 'Pristo', 'Slow'])
    expect(svg.match(/class="ours"/g)).toHaveLength(1)
  })

  it('is none where the table names none', () => {
    const { chart: _, ...without } = table
    expect(renderChart(without, nameOf)).toBeUndefined()
  })

  it.each([[[0, 0, 0]], [[0, 5, 500]], [[7, 7, 7]]])('is drawn of any numbers: %j', (costs) => {
    const rows = ['pristo', 'quick', 'near'].map((id, nth) => ({ id, values: { cost: [costs[nth] ?? 0] } }))
    for (const log of [true, false]) expect(renderChart({ ...table, rows, chart: { column: 'cost', log } }, nameOf)).not.toMatch(/NaN|Infinity|width="-/)
  })
})

it('keeps every repeat of every number beside the report', () => {
  const files = renderFiles(figures)
  expect(Object.keys(files).sort()).toEqual(['README.md', 'figures.json', 'one.svg'])
  expect(JSON.parse(files['figures.json'] ?? '')).toEqual(figures)
})

it('writes the same report of the file of its figures', () => {
  const odd = { ...table, rows: [{ id: 'pristo', values: { cost: [1 / 3, NaN, 2 / 3] } }, { id: 'slow', values: { cost: [Infinity] } }] }
  const rounded = roundFigures({ ...figures, tables: [odd] })
  const files = renderFiles(rounded)
  expect(renderFiles(JSON.parse(files['figures.json'] ?? ''))).toEqual(files)
  expect(rounded.tables[0]?.rows.map(({ values }) => values)).toEqual([{ cost: [0.333333, 0.666667] }, { cost: [] }])
})
