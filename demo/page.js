/** The shop as plain pages with the script tag. `window.pristo` may still be the stub: the tag fills the same object later. */
import { openPanel } from './panel.js'
import { find, homeView, openShop, thanksView } from './shop.js'

const { pristo } = window
const view = document.getElementById('view')

view.innerHTML = location.pathname === '/thanks' ? thanksView(find(new URLSearchParams(location.search).get('sku')), '/') : homeView()

openShop({
  pristo,
  // The hard case on purpose: the page is left in the very task in which the purchase was tracked.
  onPurchase: ({ sku }) => location.assign(`/thanks?sku=${sku}`),
})
openPanel({ pristo })
