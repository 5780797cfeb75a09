import { Decoder, type FrameLimits } from '../../broker/protocol/decoder.ts'
import { StompError, type ErrorCode } from '../../broker/protocol/errors.ts'
import type { Frame, Version } from '../../broker/protocol/frame.ts'
import { Habits } from '../../broker/protocol/head.ts'

export const ROOMY: FrameLimits = {
  maxCommand: 64,
  maxHeaders: 1_000,
  maxHeaderLine: 100_000,
  maxBody: 1_000_000,
  maxFrame: 10_000_000,
}

/** `undefined`: CONNECT has not come yet. */
export function decoderFor(
  version: Version | undefined,
  limits: Partial<FrameLimits> = {},
  habits: Habits = new Habits(),
): Decoder {
  const decoder = new Decoder({ ...ROOMY, ...limits }, habits)
  decoder.version = version
  return decoder
}

/** All that can be read now. */
export function readAll(decoder: Decoder): (Frame | 'heartbeat')[] {
  const read: (Frame | 'heartbeat')[] = []
  for (let next = decoder.read(); next !== undefined; next = decoder.read()) read.push(next)
  return read
}

export function decode(
  input: string | Buffer,
  version: Version | undefined,
  limits: Partial<FrameLimits> = {},
): (Frame | 'heartbeat')[] {
  const decoder = decoderFor(version, limits)
  decoder.feed(Buffer.from(input))
  return readAll(decoder)
}

/** A frame in a form that compares well. */
export function show(frame: Frame | 'heartbeat' | undefined): unknown {
  if (frame === undefined || frame === 'heartbeat') return frame
  return { command: frame.command, headers: [...frame.headers], body: frame.body.toString('latin1') }
}

/** The code of the StompError that `run` throws. */
export function refusal(run: () => unknown): ErrorCode | undefined {
  try {
    run()
  } catch (error) {
    if (error instanceof StompError) return error.code
    throw error
  }
  return undefined
}
