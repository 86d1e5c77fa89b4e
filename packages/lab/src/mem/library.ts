/** The library, loaded with the lab's `#mem`: an exploration sees its accesses. */
import './register.js'

export const percpu: typeof import('percpu') = await import('percpu')
