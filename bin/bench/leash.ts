/**
 * Runs the script that its first argument names, with those behind it, until whoever has started it is gone: also
 * one that was killed had this channel open, and has it no longer.
 */
import { pathToFileURL } from 'node:url'

process.once('disconnect', () => process.exit(1))
process.argv.splice(1, 1)
await import(pathToFileURL(process.argv[1] ?? '').href)
