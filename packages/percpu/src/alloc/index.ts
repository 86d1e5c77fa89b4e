export { GRAIN, PAGE_BYTES, toAddress, toReference } from './address.js'
export * from './errors.js'
export type { PageAllocator, PageRequest, ZoneReport } from './pages.js'
