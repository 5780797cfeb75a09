import { StoreError } from './folder.ts'

/** The library; it need not be there. */
export async function load(): Promise<typeof import('lmdb')> {
  try {
    return await import('lmdb')
  } catch (error) {
    throw new StoreError(
      `--data-dir needs the package lmdb, which is not here or does not run on this system (${(error as Error).message.split('\n', 1)[0]}); install it with: npm install lmdb`,
    )
  }
}
