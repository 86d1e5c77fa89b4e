export type { PercpuRequest } from './allocator.js'
export { PercpuArea } from './area.js'
export * from './errors.js'
export type { PercpuOptions } from './setup.js'
