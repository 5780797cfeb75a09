import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { Avatar, hue, Icon } from './marks.tsx'
import type { Chat, Entry, Room } from './chat.ts'

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })
const day = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' })
const fewEmoji = new RegExp('^\\p{RGI_Emoji}{1,3}$', 'v')

export function RoomView({ chat, room }: { chat: Chat; room: Room }) {
  const log = useRef<HTMLDivElement>(null)
  const [atEnd, setAtEnd] = useState(true)
  const toEnd = (): void => log.current?.scrollTo({ top: log.current.scrollHeight })
  // Follow the conversation, but never pull away somebody who scrolled up to read.
  useLayoutEffect(() => {
    if (atEnd) toEnd()
  })
  // A phone's keyboard, or a longer text in the input, takes room from the log.
  useEffect(() => {
    if (!atEnd || !log.current) return
    const observer = new ResizeObserver(toEnd)
    observer.observe(log.current)
    return () => observer.disconnect()
  }, [atEnd])
  return (
    <>
      <div
        class="log"
        ref={log}
        role="log"
        aria-label={`Messages in ${room.name}`}
        tabIndex={0}
        onScroll={({ currentTarget: box }) =>
          setAtEnd(box.scrollHeight - box.scrollTop - box.clientHeight < 40)
        }
      >
        {room.entries.length === 0 && <Empty chat={chat} room={room} />}
        {room.entries.map((entry, index) => (
          <Message key={entry.id} entry={entry} previous={room.entries[index - 1]} />
        ))}
      </div>
      {!atEnd && (
        <button type="button" class="to-end" onClick={toEnd}>
          <Icon path="M12 5v14M6 13l6 6 6-6" /> Latest messages
        </button>
      )}
      <Typing room={room} />
      <Composer chat={chat} room={room} sent={() => setAtEnd(true)} />
    </>
  )
}

function Empty({ chat, room }: { chat: Chat; room: Room }) {
  return (
    <div class="empty">
      <h2>Nobody has said anything in “{room.name}” yet</h2>
      <p>
        Say hello below, then{' '}
        <a href={chat.secondUser} target="_blank">
          answer yourself from another window
        </a>
        . Anybody who opens the address of this page joins the same room.
      </p>
      <p class="muted">Rooms do not remember: you see what is written while you are here.</p>
    </div>
  )
}

function Message({ entry, previous }: { entry: Entry; previous: Entry | undefined }) {
  const date = new Date(entry.time)
  const newDay = !previous || new Date(previous.time).toDateString() !== date.toDateString()
  const continued = !newDay && previous.author === entry.author && entry.time - previous.time < 5 * 60_000
  const note =
    entry.status === 'waiting'
      ? 'Waiting to be sent'
      : entry.status === 'refused' && `Refused: ${entry.reason}`
  return (
    <>
      {newDay && <p class="day">{day.format(date)}</p>}
      <article
        class={continued ? 'message continued' : 'message'}
        data-testid="message"
        data-status={entry.status}
      >
        {!continued && <Avatar name={entry.author} />}
        <header class={continued ? 'hidden' : ''} style={{ '--hue': hue(entry.author) }}>
          <b dir="auto">{entry.author}</b>
          {entry.mine && <span class="muted"> you</span>}
        </header>
        <time dateTime={date.toISOString()} title={date.toLocaleString()}>
          {clock.format(date)}
        </time>
        <p class={fewEmoji.test(entry.text) ? 'text emoji' : 'text'} dir="auto">
          {entry.text}
        </p>
        {note && <small class="note">{note}</small>}
      </article>
    </>
  )
}

function Typing({ room }: { room: Room }) {
  const now = Date.now()
  const names = [...room.people.values()]
    .filter((person) => person.typingUntil > now)
    .map((person) => person.name)
  const text =
    names.length > 2
      ? 'Several people are typing…'
      : `${names.join(' and ')} ${names.length > 1 ? 'are' : 'is'} typing…`
  return <p class="typing">{names.length > 0 && text}</p>
}

function Composer({ chat, room, sent }: { chat: Chat; room: Room; sent: () => void }) {
  const box = useRef<HTMLTextAreaElement>(null)
  // Ready to type on entering a room; but on a phone this would open the keyboard over the messages.
  useLayoutEffect(() => {
    if (matchMedia('(hover: hover)').matches) box.current?.focus()
  }, [])
  const send = (): void => {
    const text = room.draft.trim()
    if (box.current) box.current.value = ''
    box.current?.focus()
    if (!text) return
    sent()
    chat.say(text)
  }
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault()
        send()
      }}
    >
      <textarea
        ref={box}
        rows={1}
        maxLength={4000}
        defaultValue={room.draft}
        aria-label={`Message to ${room.name}`}
        placeholder={`Message to ${room.name}`}
        enterkeyhint="send"
        onInput={(event) => {
          room.draft = event.currentTarget.value
          chat.typing()
        }}
        onKeyDown={(event) => {
          // While an input method composes a character, Enter belongs to it.
          if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
          event.preventDefault()
          send()
        }}
      />
      <button class="primary" aria-label="Send">
        <Icon path="M5 12h14M13 6l6 6-6 6" />
      </button>
    </form>
  )
}
