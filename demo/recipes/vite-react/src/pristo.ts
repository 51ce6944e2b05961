import { createPristo } from 'pristo'

/** The app's one tracker: made once, outside of any component, however often those are mounted. */
export const pristo = createPristo<{ purchase: { sku: string; amount: string }; newsletter: {} }>({ endpoint: '/pristo' })

// Hot reload makes the next one: this one ends first. What it has stored, the next one sends.
import.meta.hot?.dispose(() => pristo.close())
