/**
 * Storage that is denied, full, slow, dead, or changed by others. What the page tracks is sent all the same, once.
 * No engine makes these faults to order: what the page's script meets is patched, before the tag or in mid-session.
 * Only a full `localStorage`, a sandboxed frame, another tab's databases and cleared site data are real here. A disk
 * that is truly full, and a killed browser, no driver of the three can bring about in one tab of many.
 */
import type { Page } from '../support/browsers/index.ts'
import { CONTACT, countTo, drain, expect, expectCalm, expectOnce, identify, numbersOf, numbersOnDisk, poll, test, trackCount } from './fixtures.ts'
import { haste, html, run, TAG } from './pages.ts'

interface Row {
  what: string
  /** Runs in the page. */
  fault: () => void
}

/** What passes: the second try is on disk. */
const passing: Row[] = [
  {
    what: 'transaction() throws InvalidStateError once',
    fault: () => {
      const { transaction } = IDBDatabase.prototype
      IDBDatabase.prototype.transaction = () => {
        IDBDatabase.prototype.transaction = transaction
        throw new DOMException('The database connection is closing', 'InvalidStateError')
      }
    },
  },
  {
    what: 'transaction() throws UnknownError once',
    fault: () => {
      const { transaction } = IDBDatabase.prototype
      IDBDatabase.prototype.transaction = () => {
        IDBDatabase.prototype.transaction = transaction
        throw new DOMException('Internal error', 'UnknownError')
      }
    },
  },
  {
    what: 'the connection dies without a close event',
    fault: () => {
      const { transaction } = IDBDatabase.prototype
      IDBDatabase.prototype.transaction = function (...given) {
        IDBDatabase.prototype.transaction = transaction
        this.close()
        return this.transaction(...given)
      }
    },
  },
  {
    what: 'the connection dies with a close event',
    fault: () => {
      const { transaction } = IDBDatabase.prototype
      IDBDatabase.prototype.transaction = function (...given) {
        IDBDatabase.prototype.transaction = transaction
        this.close()
        this.dispatchEvent(new Event('close'))
        return this.transaction(...given)
      }
    },
  },
  {
    what: 'a transaction aborts once at commit, without an error event',
    fault: () => {
      const { put } = IDBObjectStore.prototype
      const { commit } = IDBTransaction.prototype
      let waiting = 0
      IDBTransaction.prototype.commit = () => {}
      IDBObjectStore.prototype.put = function (...given) {
        const request = put.apply(this, given)
        waiting++
        request.addEventListener('success', () => {
          if (--waiting) return
          Object.assign(IDBObjectStore.prototype, { put })
          Object.assign(IDBTransaction.prototype, { commit })
          this.transaction.abort()
        })
        return request
      }
    },
  },
  {
    what: 'a put fails once',
    fault: () => {
      const { put } = IDBObjectStore.prototype
      IDBObjectStore.prototype.put = function (...given) {
        Object.assign(IDBObjectStore.prototype, { put })
        this.add(...given)
        return this.add(...given) // the key is there
      }
    },
  },
]

/** What lasts, or comes before anything can be stored: the page goes on with its memory. */
const lasting: Row[] = [
  {
    what: 'open() never settles',
    fault: () => {
      IDBFactory.prototype.open = () => Object(new EventTarget())
    },
  },
  {
    what: 'open() throws',
    fault: () => {
      IDBFactory.prototype.open = () => {
        throw new DOMException('denied', 'SecurityError')
      }
    },
  },
  {
    what: 'open() fails once',
    fault: () => {
      const { open } = IDBFactory.prototype
      IDBFactory.prototype.open = function (...given) {
        IDBFactory.prototype.open = open
        const request = this.open(...given)
        // After the page's own listener.
        queueMicrotask(() => request.addEventListener('upgradeneeded', () => request.transaction?.abort()))
        return request
      }
    },
  },
  {
    what: 'open() fails for ever',
    fault: () => {
      const { open } = IDBFactory.prototype
      IDBFactory.prototype.open = function (...given) {
        const request = open.apply(this, given)
        queueMicrotask(() => request.addEventListener('upgradeneeded', () => request.transaction?.abort()))
        return request
      }
    },
  },
  {
    what: 'transaction() throws for ever',
    fault: () => {
      IDBDatabase.prototype.transaction = () => {
        throw new DOMException('The database connection is closing', 'InvalidStateError')
      }
    },
  },
  {
    what: 'the disk is full',
    fault: () => {
      IDBObjectStore.prototype.put = function (...given) {
        this.add(...given)
        return this.add(...given) // the key is there: an error event, and the transaction aborts
      }
    },
  },
  {
    what: 'writes never end',
    fault: () => {
      for (const name of ['oncomplete', 'onabort', 'onerror']) Object.defineProperty(IDBTransaction.prototype, name, { set() {} })
    },
  },
  {
    what: 'the indexedDB getter throws',
    fault: () => {
      const get = (): never => {
        throw new DOMException('denied', 'SecurityError')
      }
      Object.defineProperty(window, 'indexedDB', { get })
    },
  },
  {
    what: 'there is no indexedDB',
    fault: () => {
      Object.defineProperty(window, 'indexedDB', { value: undefined })
    },
  },
  {
    what: 'the localStorage getter throws',
    fault: () => {
      const get = (): never => {
        throw new DOMException('denied', 'SecurityError')
      }
      Object.defineProperty(window, 'localStorage', { get })
    },
  },
  {
    what: 'localStorage is full',
    fault: () => {
      let junk = 'x'.repeat(2 ** 20)
      for (let n = 0; junk; n++) {
        try {
          localStorage[`junk_${n}`] = junk
        } catch {
          junk = junk.slice(Math.ceil(junk.length / 2))
        }
      }
    },
  },
  {
    what: 'cookies are denied',
    fault: () => {
      const get = (): never => {
        throw new DOMException('denied', 'SecurityError')
      }
      Object.defineProperty(Document.prototype, 'cookie', { get, set: get })
      Object.defineProperty(Navigator.prototype, 'cookieEnabled', { get })
    },
  },
  {
    what: 'all storage is denied',
    fault: () => {
      const get = (): never => {
        throw new DOMException('denied', 'SecurityError')
      }
      for (const name of ['indexedDB', 'localStorage', 'sessionStorage']) Object.defineProperty(window, name, { get })
      Object.defineProperty(Document.prototype, 'cookie', { get, set: get })
      Object.defineProperty(Navigator.prototype, 'cookieEnabled', { get })
    },
  },
]

for (const { what, fault } of [...passing, ...lasting]) {
  test(`where ${what}, events arrive once and the page is told of nothing`, async ({ site, open }) => {
    site.serve('/', html(haste(10) + run(fault) + TAG))
    const page = await open()
    await identify(page)
    await trackCount(page, 3)
    await drain(page)
    expect(numbersOf(site.api.events())).toEqual(countTo(3))
    expect(await page.evaluate(() => window.complaints)).toEqual([])
    await expectOnce(site, page, 3)
  })
}

for (const { what, fault } of passing) {
  test(`an event tracked as ${what} is on disk all the same`, async ({ site, open }) => {
    site.serve('/', html(haste(0.1) + TAG)) // the first batch writes as well, but not for 20 s
    const elsewhere = await open('/blank')
    const page = await open()
    await identify(page)
    await drain(page)
    site.relayFault({ mode: 'down' })
    await page.evaluate(fault)
    await trackCount(page, 3)
    await poll(() => numbersOnDisk(elsewhere), { timeout: 10_000 }).toEqual(countTo(3))
    await expectCalm(page)
    await page.close()
    site.relayFault(null)
    await expectOnce(site, elsewhere, 3)
  })
}

test('what a disk that died would not give up, although it was delivered, is not sent again', async ({ site, open }) => {
  site.serve('/', html(haste(10) + TAG))
  const elsewhere = await open('/blank')
  const page = await open()
  site.relayFault({ mode: 'down' }) // a slow machine looks at the disk later than the hasty first batch leaves
  await identify(page)
  await trackCount(page, 3)
  await poll(() => numbersOnDisk(elsewhere)).toEqual(countTo(3))
  await page.evaluate(() => {
    IDBDatabase.prototype.transaction = () => {
      throw new DOMException('Internal error', 'UnknownError')
    }
  })
  site.relayFault(null)
  await drain(page)
  await page.close()
  site.restartRelay()
  await expectOnce(site, elsewhere, 3)
})

test('batches of a page without a database leave no cookies behind: they would pile up until servers refuse the requests', async ({ site, open }) => {
  site.serve('/', html(run(() => Object.defineProperty(window, 'indexedDB', { value: undefined })) + TAG))
  const page = await open()
  await identify(page)
  for (let n = 0; n < 3; n++) {
    await trackCount(page, 1, n)
    await drain(page)
  }
  expect(numbersOf(site.api.events())).toEqual(countTo(3))
  expect(await page.evaluate(() => document.cookie)).toBe('')
})

test('a sandboxed frame, which has no storage at all, can call everything and nothing is thrown', async ({ site, open }) => {
  const tell = (): void => {
    addEventListener('load', async () => {
      window.pristo?.identify?.({ id: 'u_42', email: 'a@b.co' })
      const id = window.pristo?.track?.('page_view')
      window.pristo?.reset?.()
      const result = await window.pristo?.flush?.()
      const thrown = window.complaints.filter(({ kind }) => kind === 'uncaught' || kind === 'unhandled')
      parent.postMessage({ hasId: !!id, hasResult: !!result, thrown }, '*')
    })
  }
  const listen = (): void => addEventListener('message', ({ data }) => Object.assign(window, { told: data }))
  site.serve('/frame', html(TAG + run(tell)))
  site.serve('/', html(run(listen) + '<iframe sandbox="allow-scripts" src="/frame"></iframe>'))
  const page = await open()
  await poll(() => page.evaluate(() => Reflect.get(window, 'told'))).toEqual({ hasId: true, hasResult: true, thrown: [] })
})

/** Deletes the origin's databases, or opens newer versions of them; what happened to each, within a second. */
const disturb = (page: Page, how: 'delete' | 'upgrade'): Promise<string[]> =>
  page.evaluate(async (wanted) => {
    const databases = await indexedDB.databases()
    const outcomes = databases.map(
      ({ name = '', version = 0 }) =>
        new Promise<string>((resolve) => {
          const request = wanted === 'delete' ? indexedDB.deleteDatabase(name) : indexedDB.open(name, version + 1)
          request.onsuccess = () => {
            request.result?.close() // it would be in the way of the next one itself
            resolve('done')
          }
          setTimeout(() => resolve(`not done: ${request.readyState}`), 1_000)
        }),
    )
    return Promise.all(outcomes)
  }, how)

test('whoever deletes the database is not blocked; the next event is in a new one', async ({ site, open }) => {
  const elsewhere = await open('/blank')
  const page = await open()
  await identify(page)
  await trackCount(page, 1)
  await drain(page)
  expect(await disturb(elsewhere, 'delete')).toEqual(['done'])
  site.relayFault({ mode: 'down' })
  await trackCount(page, 2, 1)
  await poll(() => numbersOnDisk(elsewhere)).toEqual([1, 2])
  await page.close()
  site.relayFault(null)
  await expectOnce(site, elsewhere, 3)
})

test('a tab with a newer version of the database is not blocked; events arrive', async ({ site, open }) => {
  const elsewhere = await open('/blank')
  const page = await open()
  await identify(page)
  await trackCount(page, 1)
  await drain(page)
  expect(await disturb(elsewhere, 'upgrade')).toEqual(['done'])
  await trackCount(page, 2, 1)
  await drain(page)
  expect(numbersOf(site.api.events())).toEqual(countTo(3))
  await expectCalm(page)
})

test('site data that the visitor clears in mid-session cost the open page neither its contact nor the next event', async ({ site, open }) => {
  site.serve('/clear', '<!doctype html>', { 'Clear-Site-Data': '"cookies", "storage"' })
  const elsewhere = await open('/blank')
  const page = await open()
  await identify(page)
  await trackCount(page, 1)
  await drain(page)
  await elsewhere.goto(`${site.url}/clear`)
  await trackCount(page, 1, 1)
  await drain(page)
  expect(numbersOf(site.api.events())).toEqual(countTo(2))
  expect(site.api.events()[1]?.contact.id).toBe(CONTACT.id)
  await expectCalm(page)
})

test('a page that comes back from the back/forward cache with a dead connection tracks on, on disk', async ({ site, open }) => {
  const fault = (): void => {
    const { transaction } = IDBDatabase.prototype
    IDBDatabase.prototype.transaction = function (...given) {
      addEventListener('pagehide', () => this.close(), { once: true })
      return transaction.apply(this, given)
    }
  }
  site.serve('/', html(run(fault) + TAG))
  const elsewhere = await open('/blank')
  const page = await open()
  await identify(page)
  await drain(page)
  await page.evaluate(() => void Object.assign(window, { wasHere: true }))
  await page.goto(`${site.url}/blank`)
  await page.back()
  await poll(() => page.evaluate(() => 'wasHere' in window && document.visibilityState).catch(() => 'between two pages')).toBe('visible')
  site.relayFault({ mode: 'down' })
  await trackCount(page, 3)
  await poll(() => numbersOnDisk(elsewhere)).toEqual(countTo(3))
  site.relayFault(null)
  await drain(page)
  expect(numbersOf(site.api.events())).toEqual(countTo(3))
})
