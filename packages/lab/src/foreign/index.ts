/**
 * Foreign code under the lab: the import for it, the compile step, and the accesses that an engine
 * implements.
 */
export * from './shim.js'
export { instrument } from './register.js'
export { transform, type Transformed, type TransformOptions } from './transform.js'
export {
  foreignAccess,
  ordinary,
  setForeignAccess,
  type AsyncWaitResult,
  type DataType,
  type Element,
  type ForeignAccess,
  type IntegerView,
  type Modification,
  type SharedView,
  type TurningLoop,
  type WaitableView,
  type WaitResult,
} from './access.js'
