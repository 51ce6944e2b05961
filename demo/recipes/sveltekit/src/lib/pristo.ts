import { createPristo } from 'pristo'
import { startAuto } from 'pristo/auto'

/** The app's one tracker: made once, outside of any component, however often those are mounted. */
export const pristo = createPristo<{ purchase: { sku: string; amount: string }; newsletter: {} }>({ endpoint: '/pristo' })

// Page views, those of routes too, and elements with `data-pristo-track`.
const stop = startAuto(pristo, { pageview: 'page_view' })

// Hot reload makes the next one: this one ends first. What it has stored, the next one sends.
import.meta.hot?.dispose(() => {
  stop()
  pristo.close()
})
