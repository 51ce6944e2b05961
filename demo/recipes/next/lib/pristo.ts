import { createPristo } from 'pristo'

/** The app's one tracker: made once, outside of any component. While a page is rendered on the server its methods do nothing. */
export const pristo = createPristo<{ purchase: { sku: string; amount: string }; newsletter: {} }>({ endpoint: '/pristo' })
