// @vitest-environment node
import { expect, it } from 'vitest'
import { createPristo } from '../src/index.ts'

it('on a server every method does nothing and throws nothing', async () => {
  const pristo = createPristo({ endpoint: 'no URL' })
  pristo.identify({ id: 'u_1' })
  pristo.consent('denied')
  pristo.on('delivered', () => {})()
  pristo.reset()
  expect(pristo.track('view')).toBeUndefined()
  expect(await pristo.flush()).toEqual({ delivered: 0, rejected: 0, pending: 0 })
  pristo.close()
})
