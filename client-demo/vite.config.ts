import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { defineConfig, type Plugin } from 'vite'

/** The SockJS iframe page of the broker loads the client library from here, never from a CDN. */
function emitSockJs(): Plugin {
  const file = createRequire(import.meta.url).resolve('sockjs-client/dist/sockjs.min.js')
  return {
    name: 'emit-sockjs',
    generateBundle() {
      this.emitFile({ type: 'asset', fileName: 'sockjs.min.js', source: readFileSync(file) })
    },
  }
}

export default defineConfig({
  base: './',
  define: { global: 'globalThis' }, // sockjs-client was written for bundlers that define `global`
  plugins: [emitSockJs()],
  build: { outDir: '../dist/client-demo', emptyOutDir: true, modulePreload: { polyfill: false } },
})
