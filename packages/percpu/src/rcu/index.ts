export * from './srcu-errors.js'
export type { SrcuOptions } from './srcu-layer.js'
export type { SrcuSection } from './srcu-section.js'
export type { Srcu, SrcuFlavour } from './srcu.js'
