// README of @segment/analytics-next, "Using `Analytics` with an npm bundler". The two addresses are documented for a proxy of one's own.
import { AnalyticsBrowser } from '@segment/analytics-next'

const analytics = AnalyticsBrowser.load(
  { writeKey: 'YOUR_WRITE_KEY', cdnURL: location.origin + '/in/segment' },
  { integrations: { 'Segment.io': { apiHost: location.host + '/in/segment/v1', protocol: 'http' } } },
)
analytics.identify('u_42')

window.track = (mark) => analytics.track('purchase', { mark, amount: '49.90', sku: 'A1' })
