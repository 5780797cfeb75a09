import { type Chat, hash, type Room, roomName } from './chat.ts'
import { Avatar, Badge, Icon, Logo } from './marks.tsx'
import { type Transport, transports } from './stomp.ts'

export function Sidebar({ chat }: { chat: Chat }) {
  return (
    // A column on wide screens; a drawer, as a popover with all its keyboard behaviour, on phones.
    <aside id="sidebar" class="sidebar" popover="auto" aria-label="Rooms and settings">
      <p class="brand">
        <Logo /> STOMP chat
      </p>
      <nav aria-label="Rooms">
        <h2>Rooms</h2>
        <ul>
          {[...chat.rooms.values()].map((room) => (
            <RoomLink key={room.name} chat={chat} room={room} />
          ))}
        </ul>
        <form
          class="inline"
          onSubmit={(event) => {
            event.preventDefault()
            const name = roomName(field(event.currentTarget, 'room'))
            event.currentTarget.reset()
            if (name) location.hash = hash(name)
            hideSidebar()
          }}
        >
          <input
            name="room"
            aria-label="New room"
            placeholder="New room"
            maxLength={64}
            required
            autocomplete="off"
          />
          <button>Add</button>
        </form>
      </nav>
      <People chat={chat} />
      <div class="settings">
        <a class="button primary" href={chat.secondUser} target="_blank">
          Open a second user
        </a>
        <label>
          Your name
          <input
            value={chat.name}
            maxLength={40}
            autocomplete="nickname"
            onChange={(event) => {
              const name = event.currentTarget.value.trim()
              if (name) chat.rename(name)
              else event.currentTarget.value = chat.name
            }}
          />
        </label>
        <label>
          Transport
          <select
            value={chat.transport}
            onChange={(event) => chat.useTransport(event.currentTarget.value as Transport)}
          >
            {Object.entries(transports).map(([value, label]) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        </label>
      </div>
    </aside>
  )
}

function RoomLink({ chat, room }: { chat: Chat; room: Room }) {
  return (
    <li>
      <a href={hash(room.name)} aria-current={room === chat.open ? 'page' : undefined} onClick={hideSidebar}>
        <span class="name">{room.name}</span>
        <Badge count={room.unread} />
      </a>
      {chat.rooms.size > 1 && (
        <button
          type="button"
          class="leave"
          aria-label={`Leave ${room.name}`}
          onClick={() => chat.leave(room)}
        >
          <Icon path="M7 7l10 10M17 7L7 17" />
        </button>
      )}
    </li>
  )
}

function People({ chat }: { chat: Chat }) {
  const others = new Set([...chat.open.people.values()].map((person) => person.name))
  others.delete(chat.name)
  return (
    <section aria-label="Here now" class="people">
      <h2>Here now</h2>
      <ul>
        <li>
          <Avatar name={chat.name} /> <span class="name">{chat.name}</span> <span class="muted">you</span>
        </li>
        {[...others].toSorted().map((name) => (
          <li key={name}>
            <Avatar name={name} /> <span class="name">{name}</span>
          </li>
        ))}
      </ul>
    </section>
  )
}

function hideSidebar(): void {
  document.querySelector<HTMLElement>('#sidebar:popover-open')?.hidePopover()
}

export function field(form: HTMLFormElement, name: string): string {
  const value = new FormData(form).get(name)
  return typeof value === 'string' ? value.trim() : ''
}
