export type { ObjectInfo } from './directory.js'
export type { MemblockReport, RegionInfo, BootRegions as Memblock } from './memblock.js'
export type { Objects } from './objects.js'
export type { AllocRequest } from './placement.js'
