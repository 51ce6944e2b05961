import { expect, it } from 'vitest'
import { interleave, median, p99, quantile, spread } from './stats.mjs'

it('takes the middle, or the mean of the two in the middle, whatever the order', () => {
  expect(median([3, 1, 2])).toBe(2)
  expect(median([4, 1, 3, 2])).toBe(2.5)
  expect(median([])).toBeNaN()
})

it('takes a share by the nearest rank, and the list stays as it was', () => {
  const list = Array.from({ length: 200 }, (_, nth) => 200 - nth)
  expect(p99(list)).toBe(198)
  expect(quantile([7], 0.01)).toBe(7)
  expect(list[0]).toBe(200)
})

it('knows the least and the most, of 100 000 too', () => {
  expect(spread([2, 9, 4])).toEqual([2, 9])
  expect(spread([])).toEqual([NaN, NaN])
  expect(spread(Array.from({ length: 100_000 }, (_, nth) => nth))).toEqual([0, 99_999])
})

it('has each begin a round once, and all in every round', () => {
  const turns = interleave(['a', 'b', 'c'], 3)
  expect(turns.map(({ one }) => one).join('')).toBe('abcbcacab')
  expect(turns.map(({ round }) => round).join('')).toBe('000111222')
})
