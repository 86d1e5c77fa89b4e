/** Accesses that are refused: where nothing is mapped, or writing is forbidden. */
import { FaultError } from './errors.js'

export type FaultAccess = 'read' | 'write' | 'protect'

export function noArea(address: number, access: FaultAccess): FaultError {
  return new FaultError(`nothing is mapped at address ${textOf(address)}: ${access} refused`, {
    address,
    access,
    isMapped: false,
  })
}
export function readOnly(address: number): FaultError {
  return new FaultError(`address ${textOf(address)} is read-only: write refused`, {
    address,
    access: 'write',
    isMapped: true,
  })
}
/** An error of a page, as one of this address in it. Others stay what they are. */
export function faultAt(error: unknown, address: number): unknown {
  if (!(error instanceof FaultError)) return error
  const { access, isMapped } = error.details
  return isMapped === true ? readOnly(address) : noArea(address, access as FaultAccess)
}

/** As programs write it, and as tools print it. */
function textOf(address: number): string {
  return `${address} (0x${address.toString(16)})`
}
