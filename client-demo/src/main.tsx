import { render } from 'preact'
import { App } from './app.tsx'
import { Chat } from './chat.ts'

const root = document.getElementById('app')
if (!root) throw new Error('index.html has no #app')

// The chat is plain mutable state; after a change the page is drawn again, once for many changes.
let drawing = false
const chat = new Chat(() => {
  if (drawing) return
  drawing = true
  queueMicrotask(draw)
})

function draw(): void {
  drawing = false
  let unread = 0
  for (const room of chat.rooms.values()) unread += room.unread
  document.title = `${unread > 0 ? `(${unread}) ` : ''}${chat.open.name} · STOMP chat`
  // root was checked above; TypeScript forgets that inside a function
  render(<App chat={chat} />, root!)
}

draw()
