// The same without the extensions, by the package's own slim build: no autocapture, no replay, no surveys, no flags.
import posthog from 'posthog-js/dist/module.slim'

posthog.init('phc_YOUR_PROJECT_KEY', { api_host: location.origin + '/in/posthog-slim', defaults: '2026-01-30' })
posthog.identify('u_42')

window.track = (mark) => posthog.capture('purchase', { mark, amount: '49.90', sku: 'A1' })
