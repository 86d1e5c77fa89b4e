export type { Callback } from './functions.js'
export type { Freeable, Rcu } from './rcu.js'
