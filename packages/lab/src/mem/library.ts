/** The library, loaded with the lab's `#mem`: what it does in a body is explored. */
import './register.js'

export const percpu: typeof import('percpu') = await import('percpu')
