export type { ObjectInfo } from './directory.js'
export type { Memblock, MemblockReport, RegionInfo } from './memblock.js'
export type { Objects } from './objects.js'
export type { AllocRequest } from './placement.js'
