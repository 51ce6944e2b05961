// Relay and script inside an Express app.   npm i pristo express · PRISTO_API_KEY=… PRISTO_POPULATION_ID=… node express.mjs
import express from 'express'
import { createRelay } from 'pristo/relay'
import { optionsFromEnv } from 'pristo/relay/env'
import { toExpressHandler } from 'pristo/relay/express'
import { tag } from 'pristo/relay/tag'

const { port, hostname, ...options } = optionsFromEnv(process.env, { identity: 'page', tag })

const app = express()
// app.set('trust proxy', 1)   // behind one proxy: the relay's idea of the client's address is Express's
app.all(['/pristo', '/pristo.js'], toExpressHandler(createRelay(options))) // before or after express.json(), as you like

const server = app.listen(port, hostname, () => console.log(`relay at http://${hostname}:${server.address().port}/pristo`))
