// https://docs.snowplow.io/docs/sources/web-trackers/quick-start-guide/, on npm. One event a request, stored first, is the default.
import { newTracker, setUserId, trackSelfDescribingEvent } from '@snowplow/browser-tracker'

newTracker('sp', location.origin + '/in/snowplow', { appId: 'shop' })
setUserId('u_42')

window.track = (mark) =>
  trackSelfDescribingEvent({ event: { schema: 'iglu:com.example/purchase/jsonschema/1-0-0', data: { mark, amount: '49.90', sku: 'A1' } } })
