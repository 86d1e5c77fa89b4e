export * from './layout/index.js'
export * from './machine/index.js'
export * from './errors.js'
export type { Memory } from '#mem'
