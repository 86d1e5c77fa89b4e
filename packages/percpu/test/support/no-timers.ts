/** Import this first: what killed threads still wait for does not keep the process alive. */
import { after } from 'node:test'

const timers: NodeJS.Timeout[] = []
const { setTimeout: original } = globalThis
Object.assign(globalThis, {
  setTimeout: (...args: Parameters<typeof original>) => {
    const timer = original(...args)
    timers.push(timer)
    return timer
  },
})
after(() => {
  for (const timer of timers) clearTimeout(timer)
})
