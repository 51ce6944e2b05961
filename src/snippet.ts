/** The script-tag face: the tracker, and what tracks without JavaScript. */
import { startAuto } from './auto/index.ts'
import { installed, settings } from './install.ts'

export type { QueuedCall, TagOptions } from './install.ts'

if (installed && window.pristo) {
  const { close } = installed
  const { pageview, query } = settings
  const stop = startAuto(installed, { pageview, query: query != null && String(query) !== 'false' }) // an attribute may be empty
  installed.close = window.pristo.close = () => {
    stop()
    close()
  }
}
