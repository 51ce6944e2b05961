/**
 * When a page's address changes without a new page.
 * Invariant: `history` does for the page and for other scripts' patches what it did before, errors included; it is patched
 * at most once, and only where there is no Navigation API (Chrome before 102, Firefox before 147, Safari before 26.2).
 */

/** On a patched function: who is to be told. The name is shared with every other copy of this script. */
interface Patched {
  __pristo?: Set<() => void>
}

/**
 * Tells of every change but those that come with a `popstate`; often more than once.
 * @returns what ends it
 */
export const watchRoutes = (tell: () => void): (() => void) => {
  const { navigation } = window
  // Not whether there is something of that name: `<nav id="navigation">` is, too, and a page may have a variable of its own.
  if (typeof Navigation === 'function' && navigation instanceof Navigation) {
    // Not `currententrychange`: this one comes when the page has done what it does for a route.
    // A route whose handler fails has been come to all the same.
    const types = ['navigatesuccess', 'navigateerror']
    for (const type of types) navigation.addEventListener(type, tell)
    return () => types.forEach((type) => navigation.removeEventListener(type, tell))
  }
  const undo = (['pushState', 'replaceState'] as const).map((name) => patch(name, tell))
  return () => undo.forEach((end) => end())
}

const patch = (name: 'pushState' | 'replaceState', tell: () => void): (() => void) => {
  // Where it is now: who has patched `history` itself would never call a patch of the prototype.
  const home = history.hasOwnProperty(name) ? history : History.prototype
  const found: History['pushState'] & Patched = home[name]
  const told = found.__pristo ?? new Set()
  const patched = function (this: History, ...given: Parameters<typeof found>): void {
    const answer = found.apply(this, given)
    told.forEach((one) => one())
    return answer
  }
  if (!found.__pristo) home[name] = Object.assign(patched, { __pristo: told })
  told.add(tell)
  return () => {
    told.delete(tell)
    // Who has patched after us calls ours: it stays, and tells nobody.
    if (!told.size && home[name] === patched) home[name] = found
  }
}
