import { pristo } from './pristo.ts'

export const App = () => (
  <main>
    <h1>A shop</h1>
    <button id="login" onClick={() => pristo.identify({ id: 'u_42', email: 'a@b.co' })}>
      Log in
    </button>
    <button id="buy" onClick={() => pristo.track('purchase', { sku: 'A1', amount: '49.90' })}>
      Buy
    </button>
    <button id="subscribe" onClick={() => pristo.track('newsletter')}>
      Subscribe
    </button>
  </main>
)
