/** What needs no engine of its own: which element an event is of, and when an address is a view. The rest is in browser/. */
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { startAuto, type AutoOptions } from '../src/auto/index.ts'

beforeEach(() => {
  vi.useFakeTimers()
  document.body.innerHTML = ''
  document.title = 'Shop'
  history.replaceState(null, '', '/')
})
afterEach(() => {
  vi.useRealTimers()
})

/** A page that is watched, and what was tracked since. */
const arrange = (body = '', options?: AutoOptions) => {
  document.body.innerHTML = body
  const tracked: unknown[][] = []
  const stop = startAuto({ track: (...event: unknown[]) => tracked.push(event) }, options)
  onTestFinished(stop)
  const find = (selector: string): HTMLElement => {
    const found = document.querySelector(selector)
    if (!(found instanceof HTMLElement)) throw new Error(`no ${selector}`)
    return found
  }
  return { tracked, stop, find, types: () => tracked.map(([type]) => type) }
}

/** Each click is a task of its own, as a visitor's is. */
const click = (element: HTMLElement, type = 'click', button = 0): void => {
  element.dispatchEvent(new MouseEvent(type, { button, bubbles: true, cancelable: true, composed: true }))
  vi.runOnlyPendingTimers()
}

describe('an element with data-pristo-track', () => {
  it('is tracked with its other words as fields, named as dataset names them', () => {
    const { tracked, find } = arrange(`<button data-pristo-track="signup" data-pristo-plan="pro" data-pristo-order-id="7"
      data-pristofoo="no" data-sku="no" class="no">Go</button>`)
    click(find('button'))
    expect(tracked).toEqual([['signup', { plan: 'pro', orderId: '7' }]])
  })

  it('is told of what happens inside it, and only the nearest is', () => {
    const { types, find } = arrange('<p data-pristo-track="far"><a data-pristo-track="near"><b>Go</b></a><i>or not</i></p>')
    click(find('b'))
    click(find('i'))
    expect(types()).toEqual(['near', 'far'])
  })

  it('is what its attributes say in the moment of the click', () => {
    const { tracked, find } = arrange('<button data-pristo-track="buy" data-pristo-sku="A1">Go</button>')
    find('button').addEventListener('click', () => (find('button').dataset.pristoSku = 'A2'))
    click(find('button'))
    click(find('button'))
    delete find('button').dataset.pristoTrack
    click(find('button'))
    expect(tracked).toEqual([['buy', { sku: 'A1' }], ['buy', { sku: 'A2' }]])
  })

  it('may be added later, inside an open shadow root', () => {
    const { types, find } = arrange('<div></div>')
    const root = find('div').attachShadow({ mode: 'open' })
    root.innerHTML = '<button data-pristo-track="inside">Go</button>'
    const button = root.querySelector('button')
    if (button) click(button)
    expect(types()).toEqual(['inside'])
  })

  it('counts though the page stops the click, or takes the element away', () => {
    const { types, find } = arrange('<button data-pristo-track="go">Go</button>')
    const stopped = (event: Event): void => {
      event.stopImmediatePropagation()
      find('button').remove()
    }
    document.addEventListener('click', stopped, true)
    onTestFinished(() => document.removeEventListener('click', stopped, true))
    click(find('button'))
    expect(types()).toEqual(['go'])
  })

  it('is not told of a right click, and of a middle click only in a link', () => {
    const { types, find } = arrange(`<a href="#a" data-pristo-track="link">Go</a>
      <button data-pristo-track="button">Go</button><a href="#b"><b data-pristo-track="inside">Go</b></a>`)
    for (const selector of ['a', 'button', 'b']) {
      click(find(selector), 'auxclick', 2)
      click(find(selector), 'auxclick', 1)
    }
    expect(types()).toEqual(['link', 'inside'])
  })

  it('is told of a middle click on an image that refers to a symbol no more than of one on a button', () => {
    const { types, find } = arrange('<button data-pristo-track="go"><b>Go</b></button>')
    Object.assign(find('b'), { href: '#icon' })
    click(find('b'), 'auxclick', 1)
    expect(types()).toEqual([])
  })

  it('counts each of two clicks on the same spot, though the page was too busy for a task between them', () => {
    const { types, find } = arrange('<button data-pristo-track="go">Go</button>')
    find('button').click()
    find('button').click()
    expect(types()).toEqual(['go', 'go'])
  })

  it('around a label counts once, though its field is clicked as well', () => {
    const { types, find } = arrange('<p data-pristo-track="choice"><label><b>Yes</b><input type="checkbox"></label></p>')
    find('b').click()
    expect(types()).toEqual(['choice'])
    vi.runAllTimers()
    find('b').click()
    expect(types()).toEqual(['choice', 'choice'])
  })

  it('that is a form counts when it is submitted, and not when it is clicked', () => {
    const { types, find } = arrange('<form data-pristo-track="form"><input><button data-pristo-track="button">Go</button></form>')
    find('form').addEventListener('submit', (event) => event.preventDefault())
    click(find('input'))
    click(find('button'))
    expect(types()).toEqual(['button', 'form'])
  })

  it('that is a form may have a field of any name', () => {
    const { tracked, find } = arrange('<form data-pristo-track="search" data-pristo-of="shop"><input name="dataset"><input name="matches"></form>')
    find('form').dispatchEvent(new Event('submit', { bubbles: true }))
    expect(tracked).toEqual([['search', { of: 'shop' }]])
  })

  it('counts when it says so, and never where it says nonsense', () => {
    const { types, find } = arrange(`<div data-pristo-track="out" data-pristo-when="submit"><form data-pristo-track="in" data-pristo-when="click">
      <i data-pristo-track="never" data-pristo-when="hover">Go</i></form></div>`)
    click(find('i'))
    find('form').dispatchEvent(new Event('submit', { bubbles: true }))
    expect(types()).toEqual(['in', 'out'])
  })

  it('is not told any more once that has ended', () => {
    const { types, find, stop } = arrange('<button data-pristo-track="go">Go</button>')
    stop()
    click(find('button'))
    expect(types()).toEqual([])
  })
})

const VIEW: AutoOptions = { pageview: 'page_view' }

/** Longer than a route takes to settle. */
const settle = () => vi.advanceTimersByTime(200)

const go = (path: string): void => {
  history.pushState(null, '', path)
  settle()
}

describe('page views', () => {
  it('are not tracked unless their type is named', () => {
    const { tracked } = arrange()
    settle()
    go('/next')
    expect(tracked).toEqual([])
  })

  it('have path, title and referrer: of the first the page before, of a route the route before', () => {
    vi.spyOn(document, 'referrer', 'get').mockReturnValue('https://search.example/find?q=secret')
    const { tracked } = arrange('', VIEW)
    settle()
    go('/next?token=secret#access_token=secret')
    expect(tracked).toEqual([
      ['page_view', { path: '/', title: 'Shop', referrer: 'https://search.example/find' }],
      ['page_view', { path: '/next', title: 'Shop', referrer: '/' }],
    ])
  })

  it('name a page of the same site by its path', () => {
    vi.spyOn(document, 'referrer', 'get').mockReturnValue(`${location.origin}/before?a=1`)
    const { tracked } = arrange('', VIEW)
    settle()
    expect(tracked).toMatchObject([['page_view', { referrer: '/before' }]])
  })

  it('take what is no address at all for a path', () => {
    vi.spyOn(document, 'referrer', 'get').mockReturnValue('direct')
    const { tracked } = arrange('', VIEW)
    settle()
    expect(tracked).toMatchObject([['page_view', { referrer: '/direct' }]])
  })

  it('go on where the page has a form called title in the place of its title', () => {
    vi.spyOn(document, 'title', 'get').mockReturnValue(Object(document.createElement('form')))
    const { types } = arrange('', VIEW)
    settle()
    expect(types()).toEqual(['page_view'])
  })

  it('have no title and no referrer where there is none', () => {
    document.title = ''
    const { tracked } = arrange('', VIEW)
    settle()
    expect(tracked).toEqual([['page_view', { path: '/', title: null, referrer: null }]])
  })

  it('are cut to 50 characters, not through an emoji', () => {
    document.title = `${'x'.repeat(49)}🏺`
    const { tracked } = arrange('', VIEW)
    go(`/${'p'.repeat(60)}`)
    expect(tracked).toEqual([['page_view', { path: `/${'p'.repeat(49)}`, title: 'x'.repeat(49), referrer: null }]])
  })

  it('wait for the title, and pass over a route that is left at once', () => {
    const { tracked } = arrange('', VIEW)
    history.pushState(null, '', '/account')
    history.replaceState(null, '', '/login')
    document.title = 'Log in'
    settle()
    expect(tracked).toEqual([['page_view', { path: '/login', title: 'Log in', referrer: null }]])
  })

  it('do not wait for ever on a page that changes its address all the time', () => {
    const { types } = arrange('', VIEW)
    for (let n = 0; n < 20; n++) {
      history.replaceState(null, '', `/?at=${n}`)
      vi.advanceTimersByTime(50)
    }
    expect(types()).toEqual(['page_view'])
  })

  it('are not repeated for the same address: the query counts where it is asked for, an anchor never, a hash route always', () => {
    const pathsOf = (query?: boolean): unknown[] => {
      history.replaceState(null, '', '/')
      const { tracked, stop } = arrange('', { ...VIEW, query })
      for (const path of ['/', '/?a=1', '/?a=1#anchor', '/?a=2#/cart?b=1', '/?a=2#/cart?b=2']) go(path)
      stop()
      return tracked.map(([, fields]) => Object(fields).path)
    }
    expect(pathsOf()).toEqual(['/', '/#/cart'])
    expect(pathsOf(true)).toEqual(['/', '/?a=1', '/?a=2#/cart?b=1', '/?a=2#/cart?b=2'])
  })

  it('of a hidden page wait until it is shown, and of one that is left they do not wait', () => {
    const hidden = vi.spyOn(document, 'hidden', 'get').mockReturnValue(true)
    const turn = (now: boolean): void => {
      hidden.mockReturnValue(now)
      document.dispatchEvent(new Event('visibilitychange'))
    }
    const { tracked } = arrange('', VIEW)
    document.dispatchEvent(new Event('DOMContentLoaded', { bubbles: true }))
    go('/meanwhile')
    expect(tracked).toEqual([])
    turn(false)
    settle()
    history.pushState(null, '', '/left')
    turn(true)
    go('/unseen')
    expect(tracked.map(([, fields]) => Object(fields).path)).toEqual(['/meanwhile', '/left'])
  })

  it('wait until the page is parsed', () => {
    const state = vi.spyOn(document, 'readyState', 'get').mockReturnValue('loading')
    const { types } = arrange('', VIEW)
    settle()
    expect(types()).toEqual([])
    state.mockReturnValue('interactive')
    document.dispatchEvent(new Event('DOMContentLoaded', { bubbles: true }))
    settle()
    expect(types()).toEqual(['page_view'])
  })

  it('end with what watches them', () => {
    const { types, stop } = arrange('', VIEW)
    settle()
    stop()
    go('/next')
    dispatchEvent(new Event('popstate'))
    settle()
    expect(types()).toEqual(['page_view'])
  })
})

describe('where there is no Navigation API, history', () => {
  it('does what it did: this, arguments, answer and errors', () => {
    const calls: unknown[][] = []
    history.pushState = function (...given: unknown[]) {
      calls.push([this, ...given])
      if (given[0] === 'bad') throw new DOMException('refused')
      Reflect.apply(before, history, given)
      return Object('answer')
    }
    onTestFinished(() => void Reflect.deleteProperty(history, 'pushState'))
    const { types } = arrange('', VIEW)
    settle()
    const other = Object.create(history)
    expect(history.pushState.call(other, null, '', '/a')).toEqual(Object('answer'))
    expect(() => history.pushState('bad', '')).toThrow('refused')
    expect([calls[0]?.[0] === other, calls]).toEqual([true, [[other, null, '', '/a'], [history, 'bad', '']]])
    settle()
    expect(types()).toEqual(['page_view', 'page_view'])
  })

  it('is as it was after the end', () => {
    const { pushState, replaceState } = history
    const { stop } = arrange('', VIEW)
    expect(history.pushState).not.toBe(pushState)
    stop()
    expect([history.pushState, history.replaceState]).toEqual([pushState, replaceState])
    expect(history.hasOwnProperty('pushState')).toBe(false)
  })

  it('is patched once by two copies, both of which hear of a route until their own end', () => {
    const first = arrange('', VIEW)
    const { pushState } = history
    const second = arrange('', VIEW)
    expect(history.pushState).toBe(pushState)
    go('/a')
    first.stop()
    go('/b')
    expect([first.types().length, second.types().length]).toEqual([1, 2])
  })

  it.each(['History.prototype', 'history'])('tells us and another script that patches %s after us, and keeps its patch when we end', (name) => {
    const home = name === 'history' ? history : History.prototype
    const { types, stop } = arrange('', VIEW)
    const ours = home.pushState
    let heard = 0
    const theirs = function (this: History, ...given: Parameters<typeof ours>): void {
      heard++
      ours.apply(this, given)
    }
    home.pushState = theirs
    onTestFinished(() => {
      if (home === history) Reflect.deleteProperty(history, 'pushState')
      else home.pushState = before
    })
    go('/a')
    stop()
    go('/b')
    expect([heard, types().length, home.pushState === theirs]).toEqual([2, 1, true])
  })
})

const before = History.prototype.pushState

describe('what only has the name of the Navigation API', () => {
  it.each([['an element with that id', () => document.createElement('nav')], ['a variable of the page', () => ({ open: true })]])('is passed over: %s', (_, make) => {
    vi.stubGlobal('navigation', make())
    const { types, stop } = arrange('', VIEW)
    settle()
    go('/a')
    stop()
    vi.unstubAllGlobals()
    expect(types()).toEqual(['page_view', 'page_view'])
  })
})

describe('the Navigation API, where it is,', () => {
  it('tells of routes until the end, and history is left alone', () => {
    const navigation = new EventTarget()
    vi.stubGlobal('navigation', navigation)
    vi.stubGlobal('Navigation', EventTarget)
    onTestFinished(() => void vi.unstubAllGlobals())
    const { types, stop } = arrange('', VIEW)
    settle()
    expect(history.pushState).toBe(before)
    const route = (path: string, outcome: string): void => {
      history.pushState(null, '', path)
      navigation.dispatchEvent(new Event(outcome))
      settle()
    }
    route('/a', 'navigatesuccess')
    route('/failed', 'navigateerror')
    stop()
    route('/b', 'navigatesuccess')
    route('/c', 'navigateerror')
    expect(types()).toEqual(['page_view', 'page_view', 'page_view'])
  })
})

describe('a server', () => {
  it('has nothing to watch', () => {
    vi.stubGlobal('document', undefined)
    onTestFinished(() => void vi.unstubAllGlobals())
    startAuto({ track: () => undefined }, VIEW)()
  })
})
