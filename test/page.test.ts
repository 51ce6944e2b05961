import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { isDebugged, openPage } from '../src/page.ts'
import { NOON } from './support/fakes.ts'

beforeEach(() => {
  vi.useFakeTimers({ now: NOON })
  localStorage.clear()
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

const arrange = () => {
  const consent = { given: true }
  const page = openPage(() => consent.given)
  const heard: string[] = []
  onTestFinished(page.listen(() => heard.push('hide'), () => heard.push('show')))
  onTestFinished(() => void dispatchEvent(new Event('pageshow')))
  return { page, consent, heard }
}

const hide = () => vi.spyOn(document, 'visibilityState', 'get').mockReturnValue('hidden')

/** A browser whose requests know no `keepalive`, and what leaves it. */
const arrangeOld = (takes = true) => {
  vi.stubGlobal('Request', class {})
  const beacons: [address: string, body: Blob][] = []
  const fetched: string[] = []
  const sendBeacon = (address: string, body: Blob) => (beacons.push([address, body]), takes)
  vi.stubGlobal('navigator', { onLine: true, sendBeacon })
  vi.stubGlobal('fetch', async (address: string) => (fetched.push(address), Response.json({})))
  return { ...arrange(), beacons, fetched }
}

const POST = { method: 'POST', body: '{"v":1}' }

describe('where keepalive is unknown', () => {
  it('a page out of sight sends a beacon of JSON, which is on its way for 10 s and has no answer', async () => {
    const { page, beacons, fetched } = arrangeOld()
    hide()
    let isOver = false
    void page.fetch('/pristo', POST).then(({ status }) => (isOver = status === 0))
    const [address, body] = beacons[0] ?? []
    expect([address, body?.type, await body?.text(), fetched]).toEqual(['/pristo', 'application/json', '{"v":1}', []])
    await vi.advanceTimersByTimeAsync(9_999)
    expect(isOver).toBe(false)
    await vi.advanceTimersByTimeAsync(1)
    expect(isOver).toBe(true)
  })

  it('a page that is seen fetches, and so sees the answer', async () => {
    const { page, beacons, fetched } = arrangeOld()
    await page.fetch('/pristo', POST)
    expect([beacons, fetched]).toEqual([[], ['/pristo']])
  })
})

describe('where keepalive is known', () => {
  it('no page sends a beacon', async () => {
    const fetched: string[] = []
    vi.stubGlobal('fetch', async (address: string) => (fetched.push(address), Response.json({})))
    vi.stubGlobal('Request', class { get keepalive() { return true } })
    hide()
    await arrange().page.fetch('/pristo', POST)
    expect(fetched).toEqual(['/pristo'])
  })
})

describe('what is kept', () => {
  it('is parsed again only where it has changed', () => {
    const { page } = arrange()
    localStorage['pristo_contact'] = '{"rev":1}'
    expect([page.read('pristo_contact'), page.read('pristo_contact')]).toEqual([{ rev: 1 }, { rev: 1 }])
    const parse = vi.spyOn(JSON, 'parse')
    page.read('pristo_contact')
    expect(parse).not.toHaveBeenCalled()
    localStorage['pristo_contact'] = '{"rev":2}'
    expect(page.read('pristo_contact')).toEqual({ rev: 2 })
    localStorage['pristo_contact'] = 'no JSON'
    expect([page.read('pristo_contact'), page.read('pristo_contact')]).toEqual([[], []])
    localStorage['pristo_contact'] = '{"rev":2}'
    expect(page.read('pristo_contact')).toEqual({ rev: 2 })
  })

  it('is read, listed and erased by name, in localStorage and among the cookies', () => {
    const { page } = arrange()
    page.write('pristo_a', [1])
    document.cookie = 'pristo_a=1;Path=/'
    document.cookie = 'other=1;Path=/'
    expect([page.read('pristo_a'), page.keys('pristo_'), page.cookies()]).toEqual([[1], ['pristo_a'], expect.stringContaining('pristo_a=1')])
    page.erase('pristo_a')
    vi.advanceTimersByTime(1) // happy-dom keeps what ends now for as long as now lasts
    expect([page.read('pristo_a'), page.keys('pristo_'), page.cookies()]).toEqual([[], [], 'other=1'])
    page.erase('other')
  })

  it('may be a mark for some seconds', () => {
    const { page } = arrange()
    page.mark('pristo_a', 15)
    vi.advanceTimersByTime(14_999)
    expect(page.cookies()).toBe('pristo_a=')
    vi.advanceTimersByTime(2)
    expect(page.cookies()).toBe('')
  })

  it('is not read, listed, written or seen before consent', () => {
    const { page, consent } = arrange()
    page.write('pristo_a', 1)
    document.cookie = 'pristo_a=1;Path=/'
    consent.given = false
    expect(page.write('pristo_b', 1)).toBeFalsy()
    expect([page.keys('pristo_'), page.cookies(), Object.keys(localStorage)]).toEqual([[], '', ['pristo_a']])
    expect(page.read('pristo_a')).not.toBe(1)
    page.erase('pristo_a')
  })

  it('may be a bare word, which is read and written before consent too', () => {
    const { page, consent } = arrange()
    consent.given = false
    page.remember('pristo_a', 'word')
    expect([page.recall('pristo_a'), localStorage['pristo_a'], page.recall('pristo_b')]).toEqual(['word', 'word', undefined])
  })

  it('is an empty list where there is no such key or no JSON', () => {
    const { page } = arrange()
    localStorage['pristo_a'] = '{'
    expect([page.read('pristo_a'), page.read('pristo_b')]).toEqual([[], []])
  })
})

describe('where the browser denies', () => {
  it('localStorage, nothing is kept and nothing is thrown', () => {
    const { page } = arrange()
    vi.stubGlobal('localStorage', new Proxy({}, {
      get: () => expect.fail('SecurityError'),
      set: () => expect.fail('QuotaExceededError'),
      deleteProperty: () => expect.fail('SecurityError'),
      ownKeys: () => expect.fail('SecurityError'),
    }))
    page.erase('a')
    page.remember('a', 'word')
    expect([page.write('a', 1), page.read('a'), page.keys('a'), page.recall('a'), isDebugged()]).toEqual([undefined, [], [], undefined, false])
  })

  it('cookies, there are none and nothing is thrown', () => {
    const { page } = arrange()
    vi.stubGlobal('document', {
      get cookie() {
        return expect.fail('SecurityError')
      },
      set cookie(_) {
        expect.fail('SecurityError')
      },
    })
    page.erase('a')
    page.mark('a', 15)
    expect(page.cookies()).toBe('')
  })
})

describe('a page', () => {
  it('is gone from pagehide to pageshow, and out of sight with it', () => {
    const { page, heard } = arrange()
    const states = () => [page.isGone(), page.isHidden()]
    const before = states()
    dispatchEvent(new Event('pagehide'))
    const gone = states()
    dispatchEvent(new Event('pageshow'))
    expect([before, gone, states(), heard]).toEqual([[false, false], [true, true], [false, false], ['hide', 'show']])
  })

  it('that is out of sight is not gone', () => {
    const { page, heard } = arrange()
    hide()
    document.dispatchEvent(new Event('visibilitychange'))
    expect([page.isGone(), page.isHidden(), heard]).toEqual([false, true, ['hide']])
  })

  it('hears of the network', () => {
    const { heard } = arrange()
    dispatchEvent(new Event('online'))
    expect(heard).toEqual(['show'])
  })
})

describe('without a document', () => {
  it.each([
    ['a worker of a browser', { WorkerGlobalScope: class {}, indexedDB: {} }, true],
    ['a worker of an edge runtime, which has no IndexedDB', { WorkerGlobalScope: class {} }, false],
    ['a server with an IndexedDB for tests', { indexedDB: {} }, false],
    ['a server', {}, false],
  ])('%s is found to be what it is', async (_, globals, expected) => {
    for (const [name, value] of Object.entries({ document: undefined, ...globals })) vi.stubGlobal(name, value)
    vi.resetModules()
    const { isBrowser } = await import('../src/page.ts')
    expect(isBrowser()).toBe(expected)
  })

  it('nothing is out of sight, kept or read, and there are no cookies to ask for', async () => {
    for (const name of ['document', 'localStorage']) vi.stubGlobal(name, undefined)
    vi.resetModules()
    const page = (await import('../src/page.ts')).openPage(() => true)
    page.erase('a')
    page.mark('a', 15)
    page.remember('a', 'word')
    expect([page.hasCookies, page.isHidden(), page.cookies(), page.read('a'), page.recall('a')]).toEqual([false, false, '', [], undefined])
  })
})
