/**
 * Views of values in place, without a copy: valid as long as their scope. Afterwards they throw,
 * and all that was obtained from them, whatever lies there by then.
 */
import type { Memory } from '#mem'
import { ViewEndedError } from './errors.js'
import { numberArrayOf } from '../layout/array-views.js'
import { closedMemory, flavours, type Scope } from '../layout/flavours.js'
import { u8, type AnyStruct } from '../layout/index.js'

/** Where views find their memory, until {@link endViews}. */
export interface ViewScope extends Scope {
  memory: Memory
}

const ended = closedMemory(
  () => new ViewEndedError('the view has ended: copy what is needed later inside of its callback'),
)
export function endViews(scope: ViewScope): void {
  scope.memory = ended
}

/** Makes the view of a value of so many bytes at a byte address. */
export type MakeView = (scope: ViewScope, address: number, bytes: number) => unknown

const Bytes = numberArrayOf(u8, flavours.value, undefined)
export const viewBytes: MakeView = (scope, address, bytes) => new Bytes(scope, address, bytes)
export function structViews(struct: AnyStruct): MakeView {
  return (scope, address) => struct.reader(scope, address)
}
