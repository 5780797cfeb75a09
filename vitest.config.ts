import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'tests',
          include: ['test/**/*.test.ts'],
          exclude: ['test/faults/**'],
          testTimeout: 15_000,
          hookTimeout: 30_000,
          // Every test opens its own broker on port 0, so files run side by side.
          pool: 'threads',
        },
      },
      {
        test: {
          name: 'faults',
          include: ['test/faults/*.test.ts'],
          // After the others, and one at a time: they judge what a busy broker does to others, not what a busy machine does.
          sequence: { groupOrder: 1 },
          fileParallelism: false,
        },
      },
    ],
  },
})
