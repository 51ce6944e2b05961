// README, "With a bundler". Nothing is turned on or off.
import { createPristo } from 'pristo'

const pristo = createPristo({ endpoint: '/in/pristo' })
pristo.identify({ id: 'u_42', email: 'visitor@shop.example' })

window.track = (mark) => pristo.track('purchase', { mark, amount: '49.90', sku: 'A1' })
window.flush = () => pristo.flush()
