import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vite'

export default defineConfig({
  plugins: [vue()],
  server: {
    proxy: { '/pristo': 'http://127.0.0.1:8787' }, // `npm run relay`. `vite preview` has the same proxy.
  },
})
