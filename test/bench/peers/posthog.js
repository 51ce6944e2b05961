// https://posthog.com/docs/libraries/js, "Option 2: Install via package manager". Autocapture is on, as it is by default.
import posthog from 'posthog-js'

posthog.init('phc_YOUR_PROJECT_KEY', { api_host: location.origin + '/in/posthog', defaults: '2026-01-30' })
posthog.identify('u_42')

window.track = (mark) => posthog.capture('purchase', { mark, amount: '49.90', sku: 'A1' })
