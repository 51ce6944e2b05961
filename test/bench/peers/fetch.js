// The floor: one request an event, which outlives its page. Nothing is stored, counted or tried again.
window.track = (mark) => {
  fetch('/in/fetch', {
    method: 'POST',
    keepalive: true,
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ type: 'purchase', contact: 'u_42', fields: { mark, amount: '49.90', sku: 'A1' } }),
  }).catch(() => {}) // lost, as is the way of the floor
}
