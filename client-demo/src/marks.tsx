export function Avatar({ name }: { name: string }) {
  const initials = Array.from(name.matchAll(/(?:^|\s)(\S)/gu), (match) => match[1]).slice(0, 2)
  return (
    <span class="avatar" style={{ '--hue': hue(name) }} aria-hidden="true">
      {initials.join('').toUpperCase()}
    </span>
  )
}

/** A colour for each name, the same in every browser; all of one lightness, so all are readable. */
export function hue(name: string): number {
  let sum = 7
  for (const char of name) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) % 3600
  return sum % 360
}

export function Badge({ count }: { count: number }) {
  if (count === 0) return null
  return (
    <span class="badge">
      {count > 99 ? '99+' : count}
      <span class="hidden"> unread</span>
    </span>
  )
}

export function Icon({ path }: { path: string }) {
  return (
    <svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">
      <path
        d={path}
        fill="none"
        stroke="currentColor"
        stroke-width="2"
        stroke-linecap="round"
        stroke-linejoin="round"
      />
    </svg>
  )
}

export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
      <path
        d="M8 3h16a6 6 0 0 1 6 6v9a6 6 0 0 1-6 6h-9l-7 6v-6a6 6 0 0 1-6-6V9a6 6 0 0 1 6-6z"
        fill="currentColor"
      />
      <path
        d="M10 13.5h.01M16 13.5h.01M22 13.5h.01"
        stroke="var(--side)"
        stroke-width="4.4"
        stroke-linecap="round"
      />
    </svg>
  )
}
