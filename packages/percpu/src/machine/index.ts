export * from './errors.js'
export type { ListenOptions } from './events.js'
export type { MachineHandle } from './handle.js'
export type { PlacedStruct } from './placed-struct.js'
