// README of @openpanel/web, steps 2 and 3, without the three listeners that are off by default.
import { OpenPanel } from '@openpanel/web'

const op = new OpenPanel({ clientId: 'YOUR_CLIENT_ID', apiUrl: location.origin + '/in/openpanel' })
op.identify({ profileId: 'u_42' })

window.track = (mark) => op.track('purchase', { mark, amount: '49.90', sku: 'A1' })
