/** Bytes moved by hand: as long as they are few, that is cheaper than a call into Node. */

/** Beyond so many, copying is left to Node. */
const FEW = 256

/** Copies bytes from `from` up to `to`. The position behind them, in the target. */
export function put(target: Buffer, at: number, source: Buffer, from: number, to: number): number {
  const next = at + to - from
  if (to - from > FEW) source.copy(target, at, from, to)
  else while (at < next) target[at++] = source[from++] as number // from < to <= source.length
  return next
}

/** Writes a text, each character as one byte. The position behind it. */
export function putText(target: Buffer, at: number, text: string): number {
  if (text.length > FEW / 2) return at + target.write(text, at, 'latin1')
  for (let index = 0; index < text.length; index++) target[at++] = text.charCodeAt(index)
  return at
}

/** Whether the bytes from `from` up to `to` are this text of ASCII characters. */
export function holds(source: Buffer, from: number, to: number, text: string): boolean {
  if (to - from !== text.length) return false
  for (let index = 0; index < text.length; index++) {
    if (source[from + index] !== text.charCodeAt(index)) return false
  }
  return true
}
