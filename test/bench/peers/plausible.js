// https://github.com/plausible/analytics/tree/master/tracker/npm_package: `init`, then `track`. It knows no visitor.
import { init, track } from '@plausible-analytics/tracker'

init({ domain: 'shop.example', endpoint: location.origin + '/in/plausible', captureOnLocalhost: true }) // or it ignores this machine

window.track = (mark) => track('purchase', { props: { mark, amount: '49.90', sku: 'A1' } })
