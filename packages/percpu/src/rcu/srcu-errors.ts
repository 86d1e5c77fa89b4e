import { PercpuError } from '../errors.js'
import { UnansweredError } from '../machine/errors.js'
import { visible } from '../shown.js'

/**
 * How a section was misused. Only in debug mode are all of them found:
 *
 * - `'ended-twice'`: the section has ended before.
 * - `'other-domain'`: the token is that of a section of another domain.
 * - `'other-cpu'`: another CPU began the section, and did not hand it over.
 * - `'no-section'`: it is no token, or one of long ago.
 * - `'wait-inside'`: a wait for a grace period inside a section of its domain.
 * - `'circle'`: domains are waited for inside sections of each other.
 * - `'guard-lost'`: nobody has the object any more that `section()` returned, so it cannot end.
 * - `'task-ended'`: the task that began the section has ended, and it has not.
 */
export type SrcuMisuse =
  | 'ended-twice'
  | 'other-domain'
  | 'other-cpu'
  | 'no-section'
  | 'wait-inside'
  | 'circle'
  | 'guard-lost'
  | 'task-ended'

/**
 * A read section was used against its rules: a wrong token, ended more often than begun, or fast
 * sections on a deaf CPU. Nothing was changed. In debug mode it says where the section was begun.
 */
export class SrcuMisuseError extends PercpuError {
  static override readonly name = 'SrcuMisuseError'
  readonly code = 'PERCPU_SRCU_MISUSE'

  /** Which rule; undefined without debug mode. */
  get misuse(): SrcuMisuse | undefined {
    return this.details['misuse'] as SrcuMisuse | undefined
  }
  /** In debug mode: the stack of the call that began the section, if it is known. */
  get lockedAt(): string | undefined {
    return this.details['lockedAt'] as string | undefined
  }
}
/**
 * The domain is in use: `details.reason` says how. Nothing was freed, and it can be used on. It
 * leaks if nobody calls `cleanup` again.
 */
export class SrcuBusyError extends PercpuError {
  static override readonly name = 'SrcuBusyError'
  readonly code = 'PERCPU_SRCU_BUSY'
}

/**
 * A wait that ended at its time-out. `cpus` have sections under way; `silent` hold up the grace
 * period of the event loop that a fast domain waits for. `warning`: what else there is to say, or
 * ''.
 */
export function lateError(
  name: string,
  {
    cpus,
    handedOver,
    silent,
  }: Record<'cpus' | 'silent', readonly number[]> & { readonly handedOver: number },
  timeout: number,
  warning: string,
): UnansweredError {
  const who: string[] = []
  if (cpus.length > 0) who.push(`CPU ${cpus.join(', ')} has sections under way`)
  if (handedOver > 0) who.push(`sections handed over are under way (${handedOver})`)
  if (handedOver < 0) who.push(excessOf(handedOver))
  if (silent.length > 0) who.push(`CPU ${silent.join(', ')} did not return to its event loop`)
  if (who.length === 0)
    who.push('no section is under way: it took longer than that, or one was ended too often')
  return new UnansweredError(
    `${visible(name)}: no grace period within ${timeout} ms: ${who.join('; ')}${warning}`,
    {
      name,
      cpus,
      handedOver,
      silent,
      timeout,
    },
  )
}
/** `handedOver` is less than 0. */
export function excessOf(handedOver: number): string {
  return `${-handedOver} sections were ended more often than they were handed over`
}
