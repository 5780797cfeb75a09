import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 15_000,
    hookTimeout: 30_000,
    // Every test opens its own broker on port 0, so files run side by side.
    pool: 'threads',
  },
})
