export {
  AreaOverlapError,
  FaultError,
  PinnedError,
  SpaceCorruptionError,
  SparseMismatchError,
  TooManyPinsError,
} from './errors.js'
export type { AreaOptions, ProtectOptions } from './mapping.js'
export { Pin } from './pinning.js'
export type { AreaReport, BlockReport, SpaceReport, TableReport } from './report.js'
export type { SparseArray, SparseOptions, SparseRange } from './sparse-array.js'
export type { SparseCopies, SparseKind, SparseValues } from './sparse-kinds.js'
export type { AddressSpace, TlbCounts } from './space.js'
