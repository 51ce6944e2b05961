// https://docs.mixpanel.com/docs/tracking-methods/sdks/javascript, "Install", "Identify" and "Track". Batching into localStorage is the default.
import mixpanel from 'mixpanel-browser'

mixpanel.init('YOUR_PROJECT_TOKEN', { api_host: location.origin + '/in/mixpanel' })
mixpanel.identify('u_42')

window.track = (mark) => mixpanel.track('purchase', { mark, amount: '49.90', sku: 'A1' })
