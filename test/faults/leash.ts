/** Ends this process when whoever has started it is gone: also one that was killed had this channel open. */
process.once('disconnect', () => process.exit(1))
