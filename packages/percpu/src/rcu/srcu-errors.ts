import { PercpuError } from '../errors.js'

/**
 * A read section was used against its rules: a wrong token, ended more often than begun, or fast
 * sections on a deaf CPU. Nothing was changed.
 */
export class SrcuMisuseError extends PercpuError {
  readonly code = 'PERCPU_SRCU_MISUSE'
}
/**
 * The domain is in use: `details.reason` says how. Nothing was freed, and it can be used on. It
 * leaks if nobody calls `cleanup` again.
 */
export class SrcuBusyError extends PercpuError {
  readonly code = 'PERCPU_SRCU_BUSY'
}
