/**
 * The shop itself, the same for both builds: catalogue, views, cart and account.
 * It is the customer's code: it knows no more of pristo than `identify`, `track` and `reset`.
 */

// Classes, not colours: shop.css mixes the glazes, for light and dark.
const shadow = '<ellipse class="shadow" cx="120" cy="152" rx="66" ry="7"/>'

const products = [
  {
    sku: 'mug',
    name: 'Morning mug',
    price: '24.00',
    text: 'Holds a proper coffee, and your hand.',
    art: `<path class="line" d="M150 78h14a23 23 0 0 1 0 46h-16"/><path class="body" d="M72 58h84v72a20 20 0 0 1-20 20H92a20 20 0 0 1-20-20z"/><path class="glaze" d="M72 58h84v32c-9 0-9 15-20 15s-10-11-21-11-10 20-22 20-10-24-21-24z"/><ellipse class="rim" cx="114" cy="58" rx="42" ry="9"/><ellipse class="deep" cx="114" cy="59" rx="36" ry="6"/>`,
  },
  {
    sku: 'bowl',
    name: 'Noodle bowl',
    price: '32.00',
    text: 'Deep, wide, and not afraid of broth.',
    art: `<rect class="glaze" x="98" y="140" width="44" height="12" rx="4"/><path class="body" d="M46 76h148c0 40-28 68-60 68h-28c-32 0-60-28-60-68z"/><path class="glaze" d="M51 100h138c-3 9-8 17-14 24H65c-6-7-11-15-14-24z"/><ellipse class="rim" cx="120" cy="76" rx="74" ry="15"/><ellipse class="deep" cx="120" cy="78" rx="65" ry="10"/><path class="thin" d="M96 74l108-46M104 78l106-40"/>`,
  },
  {
    sku: 'vase',
    name: 'Bud vase',
    price: '28.00',
    text: 'One stem is enough. Two is a party.',
    art: `<path class="thin" d="M120 62c-2-18 2-30 8-42M121 46c-8-4-14-4-20-12"/><circle class="bloom" cx="130" cy="18" r="10"/><circle class="rim" cx="130" cy="18" r="4"/><ellipse class="bloom" cx="98" cy="30" rx="8" ry="5"/><path class="body" d="M108 52h24v12c0 15 34 22 34 54 0 22-18 34-32 34h-28c-14 0-32-12-32-34 0-32 34-39 34-54z"/><path class="glaze" d="M74 118c0-8 2-15 6-20 14 8 66 8 80 0 4 5 6 12 6 20 0 5-1 9-3 13-20 9-66 9-86 0-2-4-3-8-3-13z"/><ellipse class="rim" cx="120" cy="52" rx="14" ry="4"/>`,
  },
  {
    sku: 'teapot',
    name: 'Sunday teapot',
    price: '68.00',
    text: 'Six cups, no drips, one long afternoon.',
    art: `<path class="line" d="M74 88c-34-12-42 44-2 40"/><path class="body" d="M152 112c20-2 22-34 42-40l6 8c-16 10-14 46-46 52z"/><ellipse class="body" cx="114" cy="108" rx="52" ry="42"/><path class="glaze" d="M63 116c12 9 90 9 102 0-4 20-24 34-51 34s-47-14-51-34z"/><path class="rim" d="M84 74a31 12 0 0 1 60 0z"/><ellipse class="deep" cx="114" cy="74" rx="31" ry="5"/><circle class="rim" cx="114" cy="57" r="7"/>`,
  },
  {
    sku: 'plate',
    name: 'Supper plate',
    price: '29.00',
    text: 'A wide rim, so that toast looks like a plan.',
    art: `<ellipse class="glaze" cx="120" cy="112" rx="92" ry="40"/><ellipse class="body" cx="120" cy="104" rx="92" ry="40"/><ellipse class="rim" cx="120" cy="103" rx="78" ry="33"/><ellipse class="body" cx="120" cy="105" rx="58" ry="23"/><path class="deep-line" d="M74 106c10 12 28 18 46 18s36-6 46-18"/>`,
  },
  {
    sku: 'dripper',
    name: 'Slow dripper',
    price: '46.00',
    text: 'Three minutes of looking out of the window.',
    art: `<path class="rim" d="M86 112h68l12 30a9 9 0 0 1-8 10H82a9 9 0 0 1-8-10z"/><path class="deep" d="M80 128h80l6 14a9 9 0 0 1-8 10H82a9 9 0 0 1-8-10z"/><path class="line" d="M168 58c22-2 22 30 0 30h-12"/><path class="body" d="M66 46h108l-34 54h-40z"/><path class="glaze" d="M66 46h108l-13 20c-10 0-10 10-20 10s-10-6-20-6-12 12-22 12-10-10-18-15z"/><rect class="body" x="80" y="100" width="80" height="12" rx="6"/><ellipse class="rim" cx="120" cy="46" rx="54" ry="9"/><ellipse class="deep" cx="120" cy="47" rx="46" ry="6"/>`,
  },
]

/** The product of a stock-keeping unit, or `undefined`. */
export const find = (sku) => products.find((product) => product.sku === sku)

const art = ({ sku, art }) => `<svg class="art ${sku}" viewBox="0 0 240 180" aria-hidden="true" focusable="false">${shadow}${art}</svg>`

// What is in the cart is tracked by attributes, without a line of code; what is bought, in `buy`.
const buttons = ({ sku, name, price }) => `
  <div class="buttons">
    <button type="button" data-do="add" data-sku="${sku}" data-pristo-track="add_to_cart" data-pristo-sku="${sku}" data-pristo-amount="${price}">Add to cart<span class="sr"> ${name}</span></button>
    <button type="button" class="primary" data-do="buy" data-sku="${sku}">Buy now<span class="sr"> ${name}</span></button>
  </div>`

const card = (product, productPath) => `
  <li class="card">
    ${art(product)}
    <div class="words">
      <h3>${productPath ? `<a href="${productPath}${product.sku}">${product.name}</a>` : product.name}</h3>
      <p class="price">€ ${product.price}</p>
      <p class="text">${product.text}</p>
    </div>
    ${buttons(product)}
  </li>`

/** The shop window. With a path, each product's name links to its page. */
export const homeView = (productPath) => `
  <section class="hero">
    <h1>Made slowly, used daily</h1>
    <p>Six pieces of stoneware, thrown by hand and fired twice. Buy one: it costs nothing, and you can watch where the event goes.</p>
  </section>
  <section aria-labelledby="pieces">
    <h2 id="pieces">The pieces</h2>
    <ul class="cards" role="list">${products.map((product) => card(product, productPath)).join('')}</ul>
  </section>
  <section class="join" id="join" aria-labelledby="join-title">
    <div>
      <h2 id="join-title">Become a regular</h2>
      <p>Tell us who you are. What you did before signing up waits in the outbox and then goes out under your name.</p>
    </div>
    <form id="signup">
      <label>First name <input name="name" autocomplete="given-name" required maxlength="50"></label>
      <label>Email <input name="email" type="email" autocomplete="email" required maxlength="100"></label>
      <label class="check"><input name="news" type="checkbox"> Send me the kiln's newsletter</label>
      <button class="primary">Sign up</button>
    </form>
  </section>`

/** One product's own page. */
export const productView = (product, home) => `
  <p><a href="${home}">← All pieces</a></p>
  <section class="single">
    ${art(product)}
    <div>
      <h1>${product.name}</h1>
      <p class="price">€ ${product.price}</p>
      <p>${product.text} Stoneware, glazed by hand; dishwasher-safe, within reason.</p>
      ${buttons(product)}
    </div>
  </section>`

/** The page after a purchase; says so in general where the product is unknown. */
export const thanksView = (product, home) => `
  <section class="single">
    ${product ? art(product) : ''}
    <div>
      <h1>Thank you</h1>
      <p>${product ? `Your ${product.name} is as good as on its way.` : 'Your order is as good as on its way.'}</p>
      <p>It was tracked in the moment of your click, just before this page took the shop’s place. The panel shows whether it arrived.</p>
      <p><a href="${home}">← Back to the shop</a></p>
    </div>
  </section>`

const KEY = 'kiln'
const TOAST_MS = 5_000

const load = () => {
  try {
    return { cart: 0, ...JSON.parse(localStorage.getItem(KEY)) }
  } catch {
    return { cart: 0 } // storage is denied or not ours: the shop starts empty, pristo works all the same
  }
}

const save = (state) => {
  try {
    localStorage.setItem(KEY, JSON.stringify(state))
  } catch (error) {
    console.info('The cart lasts only as long as this page:', error.message)
  }
}

// The same visitor gets the same id on each sign-up; a real shop has its own.
const idOf = (email) => `u_${[...email.toLowerCase()].reduce((hash, char) => (hash * 31 + char.codePointAt(0)) >>> 0, 7).toString(36)}`

/**
 * Brings the shop to life: buttons, form, header.
 * @param pristo the tracker, or the stub that stands in for it
 * @param onPurchase called with the product, in the task in which its purchase was tracked
 */
export function openShop({ pristo, onPurchase }) {
  const state = load()

  const show = () => {
    save(state)
    document.getElementById('cart').textContent = state.cart === 1 ? '1 piece in the cart' : `${state.cart} pieces in the cart`
    const account = document.getElementById('account')
    account.innerHTML = state.user
      ? '<span></span> <button type="button" class="quiet" data-do="logout">Log out</button>'
      : '<button type="button" class="quiet" data-do="join">Sign up</button>'
    if (state.user) account.firstChild.textContent = `Hello, ${state.user.name}`
  }

  const toast = document.getElementById('toast')
  let hush
  const say = (text) => {
    toast.textContent = text
    clearTimeout(hush)
    hush = setTimeout(() => (toast.textContent = ''), TOAST_MS)
  }

  const actions = {
    add(product) {
      state.cart++
      show()
      say(`${product.name} is in your cart.`)
    },
    buy(product) {
      pristo.track('purchase', { sku: product.sku, amount: product.price, currency: 'EUR' })
      state.cart = 0
      show()
      onPurchase(product)
    },
    join() {
      const field = document.querySelector('#signup input')
      if (field) field.focus()
      else document.querySelector('.brand').click()
    },
    logout() {
      pristo.reset()
      delete state.user
      show()
      say('You are logged out. What you do from now on is nobody’s until somebody signs up.')
      document.querySelector('[data-do="join"]').focus()
    },
  }

  document.addEventListener('click', (event) => {
    const button = event.target.closest('[data-do]')
    if (button) actions[button.dataset.do](find(button.dataset.sku))
  })

  document.addEventListener('submit', (event) => {
    event.preventDefault()
    const fields = new FormData(event.target)
    const email = fields.get('email').trim()
    const name = fields.get('name').trim()
    pristo.identify({ id: idOf(email), email, name, language: 'en', customFields: { plan: 'free', source: 'demo' } })
    pristo.track('signup', { channel: 'shop' })
    if (fields.get('news')) pristo.track('newsletter', { topic: 'kiln news' })
    state.user = { name }
    show()
    event.target.reset()
    say(`Welcome, ${name}. Pristo knows you now.`)
  })

  show()
}
