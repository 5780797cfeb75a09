import { useEffect, useState } from 'preact/hooks'
import type { Chat } from './chat.ts'
import { Badge, Icon, Logo } from './marks.tsx'
import { RoomView } from './room.tsx'
import { field, Sidebar } from './sidebar.tsx'
import type { State } from './stomp.ts'
import { Wire } from './wire.tsx'

export function App({ chat }: { chat: Chat }) {
  const [wire, setWire] = useState(false)
  if (!chat.name) return <Welcome chat={chat} />
  return (
    <div class={wire ? 'layout with-wire' : 'layout'}>
      <Sidebar chat={chat} />
      <main>
        <header class="bar">
          <button
            type="button"
            class="icon only-phone"
            popovertarget="sidebar"
            aria-label="Rooms and settings"
          >
            <Icon path="M4 7h16M4 12h16M4 17h16" />
            <Badge count={[...chat.rooms.values()].reduce((sum, room) => sum + room.unread, 0)} />
          </button>
          <h1>{chat.open.name}</h1>
          <Pill chat={chat} />
          <button type="button" class="toggle" aria-expanded={wire} onClick={() => setWire(!wire)}>
            <Icon path="M9 6l-5 6 5 6M15 6l5 6-5 6" /> <span class="only-wide">Wire</span>
            <span class="hidden only-phone">Wire</span>
          </button>
        </header>
        {chat.problem && (
          <p class="problem" role="alert">
            The broker reports: {chat.problem}
          </p>
        )}
        <RoomView key={chat.open.name} chat={chat} room={chat.open} />
      </main>
      {wire && <Wire chat={chat} close={() => setWire(false)} />}
    </div>
  )
}

function Welcome({ chat }: { chat: Chat }) {
  return (
    <main class="welcome">
      <form
        onSubmit={(event) => {
          event.preventDefault()
          const name = field(event.currentTarget, 'name')
          if (name) chat.rename(name)
        }}
      >
        <Logo />
        <h1>STOMP chat</h1>
        <p>A small chat that runs on your message broker: each room is a topic, each message a frame.</p>
        <label for="name">Your name</label>
        <input id="name" name="name" required maxLength={40} autocomplete="nickname" autofocus />
        <button class="primary">Enter the chat</button>
      </form>
    </main>
  )
}

function Pill({ chat }: { chat: Chat }) {
  const { state } = chat
  const waiting = state.name === 'reconnecting' || state.name === 'offline'
  return (
    <div class="connection" data-testid="connection" data-state={state.name}>
      {/* Screen readers hear each change of state once, and not the seconds. */}
      <span class="hidden" role="status">
        {state.name === 'connected' ? `Connected over ${state.via}` : `Connection: ${state.name}`}
      </span>
      <span class="pill" aria-hidden="true">
        <StateText state={state} />
      </span>
      {waiting && (
        <button type="button" onClick={() => chat.retry()}>
          Try now
        </button>
      )}
    </div>
  )
}

function StateText({ state }: { state: State }) {
  const [now, setNow] = useState(Date.now())
  const until = 'until' in state ? state.until : 0
  useEffect(() => {
    if (until === 0) return
    setNow(Date.now())
    const timer = setInterval(() => setNow(Date.now()), 500)
    return () => clearInterval(timer)
  }, [until])
  if (state.name === 'connecting') return <>Connecting…</>
  if (state.name === 'connected') {
    return (
      <>
        Connected<span class="only-wide"> · {state.via}</span>
      </>
    )
  }
  const seconds = Math.ceil((until - now) / 1000)
  const prefix = state.name === 'offline' ? 'Offline, retrying' : 'Reconnecting'
  return <>{seconds > 0 ? `${prefix} in ${seconds} s` : `${prefix}…`}</>
}
