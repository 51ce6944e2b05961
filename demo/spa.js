/** The same shop as a single-page app: the ES modules, and routes by `history.pushState`. */
import { startAuto } from '/auto.mjs'
import { createPristo } from '/pristo.mjs'
import { openPanel } from './panel.js'
import { find, homeView, openShop, productView, thanksView } from './shop.js'

const pristo = createPristo({ endpoint: '/pristo' })
const view = document.getElementById('view')

const render = () => {
  const [, , page, sku] = location.pathname.split('/')
  const product = find(sku)
  if (page === 'thanks' && product) view.innerHTML = thanksView(product, '/spa')
  else if (page === 'product' && product) view.innerHTML = productView(product, '/spa')
  else view.innerHTML = homeView('/spa/product/')
  document.title = `${view.querySelector('h1').textContent} · Kiln & Co.`
}

const navigate = (path) => {
  history.pushState(null, '', path)
  render()
  scrollTo(0, 0)
  // A screen reader is told of the new page as a navigation would tell it.
  document.getElementById('shop').focus({ preventScroll: true })
}

document.addEventListener('click', (event) => {
  const link = event.target.closest('a[href^="/spa"]')
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return
  event.preventDefault()
  navigate(link.getAttribute('href'))
})
addEventListener('popstate', render)

openShop({ pristo, onPurchase: ({ sku }) => navigate(`/spa/thanks/${sku}`) })
openPanel({ pristo })
render()
startAuto(pristo, { pageview: 'page_view' })
