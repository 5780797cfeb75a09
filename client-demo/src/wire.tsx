import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import { Icon } from './marks.tsx'
import type { Chat, WireFrame } from './chat.ts'

/** The frames as they cross the wire: what this chat does, you can do with any STOMP client. */
export function Wire({ chat, close }: { chat: Chat; close: () => void }) {
  const [all, setAll] = useState(false)
  const [copied, setCopied] = useState(false)
  const list = useRef<HTMLOListElement>(null)
  const frames = chat.frames.filter((frame) => all || !isNoise(frame))
  const last = frames.at(-1)?.id
  useLayoutEffect(() => list.current?.scrollTo({ top: list.current.scrollHeight }), [last])

  const copy = async (): Promise<void> => {
    const text = frames.map((frame) => `${arrow(frame)} ${readable(frame.text)}`).join('\n\n')
    try {
      await navigator.clipboard.writeText(text)
      setCopied(true)
      setTimeout(() => setCopied(false), 2_000)
    } catch {
      // No clipboard on plain http: select the list instead, so that the keyboard can copy it.
      if (list.current) getSelection()?.selectAllChildren(list.current)
    }
  }

  return (
    <aside class="wire" aria-label="Wire">
      <header class="bar">
        <h2>Wire</h2>
        <button type="button" onClick={() => void copy()}>
          {copied ? 'Copied' : 'Copy'}
        </button>
        <button type="button" onClick={() => chat.clearFrames()}>
          Clear
        </button>
        <button type="button" class="icon" aria-label="Close the wire panel" onClick={close}>
          <Icon path="M6 6l12 12M18 6L6 18" />
        </button>
      </header>
      <label class="check">
        <input type="checkbox" checked={all} onChange={(event) => setAll(event.currentTarget.checked)} />
        Heart-beats and presence too
      </label>
      <ol ref={list} tabIndex={0} aria-label="Frames">
        {frames.length === 0 && <li class="muted">Frames show up here. Send a message.</li>}
        {frames.map((frame) => (
          <li key={frame.id} data-direction={frame.direction}>
            <span class="direction">
              {arrow(frame)} {frame.direction} · {new Date(frame.time).toLocaleTimeString()}
            </span>
            <pre>{readable(frame.text)}</pre>
          </li>
        ))}
      </ol>
    </aside>
  )
}

function isNoise({ text }: WireFrame): boolean {
  return text.trim() === '' || /^destination:.*\.presence$/m.test(text)
}

function arrow({ direction }: WireFrame): string {
  return direction === 'out' ? '→' : '←'
}

/** The NUL that ends a frame is drawn the way the specification writes it. */
function readable(text: string): string {
  return text.trim() === '' ? '(heart-beat: one line feed)' : text.replace(/\0/g, '^@').trim()
}
