// README of @rudderstack/analytics-js, "bundled": the default export would fetch its plugins from the vendor while it runs.
// `configUrl` is documented for a control plane of one's own.
import { RudderAnalytics } from '@rudderstack/analytics-js/bundled'

const analytics = new RudderAnalytics()
analytics.load('2AbcdefghijklmnopqrstuvwxyzA', location.origin + '/in/rudderstack', { configUrl: location.origin + '/in/rudderstack' })
analytics.identify('u_42')

window.track = (mark) => analytics.track('purchase', { mark, amount: '49.90', sku: 'A1' })
