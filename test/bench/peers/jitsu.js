// https://docs.jitsu.com/sending-data/npm.
import { jitsuAnalytics } from '@jitsu/js'

const analytics = jitsuAnalytics({ host: location.origin + '/in/jitsu', writeKey: 'YOUR_KEY:YOUR_SECRET' })
analytics.identify('u_42')

window.track = (mark) => analytics.track('purchase', { mark, amount: '49.90', sku: 'A1' })
