export {
  AreaOverlapError,
  FaultError,
  PinnedError,
  SpaceCorruptionError,
  SparseMismatchError,
  TooManyPinsError,
} from './errors.js'
export type { AreaOptions } from './mapping.js'
export type { Pin } from './pinning.js'
export type { AreaReport } from './report.js'
export type { SparseArray, SparseOptions } from './sparse-array.js'
export type { SparseCopies, SparseKind, SparseValues } from './sparse-kinds.js'
export type { AddressSpace, TlbCounts } from './space.js'
