import { pino, type Logger } from 'pino'
import pretty from 'pino-pretty'

/** Logs on stderr: readable lines on a terminal, JSON for machines. */
export function createLog(level: string): Logger {
  if (!process.stderr.isTTY) return pino({ level, base: null }, pino.destination({ fd: 2, sync: true }))
  const stream = pretty({
    destination: 2,
    sync: true,
    ignore: 'pid,hostname',
    translateTime: 'SYS:HH:MM:ss',
    colorize: !process.env.NO_COLOR,
  })
  return pino({ level, base: null }, stream)
}
