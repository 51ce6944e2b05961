'use client'

import { pristo } from '../lib/pristo'

export const Login = () => (
  <button id="login" onClick={() => pristo.identify({ id: 'u_42', email: 'a@b.co' })}>
    Log in
  </button>
)

export const Buy = () => (
  <button id="buy" onClick={() => pristo.track('purchase', { sku: 'A1', amount: '49.90' })}>
    Buy
  </button>
)

export const Subscribe = () => (
  <button id="subscribe" onClick={() => pristo.track('newsletter')}>
    Subscribe
  </button>
)
