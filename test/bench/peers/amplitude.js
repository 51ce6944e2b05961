// https://amplitude.com/docs/sdks/analytics/browser/browser-sdk-2, "Initialize the SDK". Autocapture and remote configuration are on,
// as they are by default; the two addresses are documented for a proxy of one's own.
import * as amplitude from '@amplitude/analytics-browser'

amplitude.init('YOUR_API_KEY', 'u_42', {
  serverUrl: location.origin + '/in/amplitude/2/httpapi',
  remoteConfig: { serverUrl: location.origin + '/in/amplitude/config' },
})

window.track = (mark) => amplitude.track('purchase', { mark, amount: '49.90', sku: 'A1' })
window.flush = () => amplitude.flush().promise
