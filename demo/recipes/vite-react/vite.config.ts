import react from '@vitejs/plugin-react'
import { createRelay } from 'pristo/relay'
import { optionsFromEnv, toNodeHandler } from 'pristo/relay/node'
import { defineConfig, loadEnv, type Connect, type Plugin } from 'vite'

/** The relay inside `vite` and `vite preview`. In production it is a route of your server. */
const relay = (env: Record<string, string>): Plugin => {
  const mount = ({ middlewares }: { middlewares: Connect.Server }) => {
    middlewares.use('/pristo', toNodeHandler(createRelay(optionsFromEnv(env, { identity: 'page' }))))
  }
  return { name: 'pristo-relay', configureServer: mount, configurePreviewServer: mount }
}

export default defineConfig(({ mode }) => ({
  plugins: [react(), relay(loadEnv(mode, process.cwd(), 'PRISTO_'))], // .env.local, and the environment
}))
