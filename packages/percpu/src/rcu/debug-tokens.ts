/**
 * Tokens of sections in debug mode: numbers that no other section of the machine has, or had.
 *
 *     bits   42 … 11          10 … 3   2       1             0
 *            serial number    CPU      noted   handed over   rank
 */
interface Parts {
  readonly serial: number
  readonly cpu: number
  readonly rank: number
  /** `downRead` began it. */
  readonly isHandedOver: boolean
  /** It has a note. */
  readonly isNoted: boolean
}

export function makeToken({ serial, cpu, rank, isHandedOver, isNoted }: Parts): number {
  return serial * 2 ** 11 + cpu * 8 + (isNoted ? 4 : 0) + (isHandedOver ? 2 : 0) + rank
}
export function isToken(token: unknown): token is number {
  return Number.isSafeInteger(token) && (token as number) >= 2 ** 11
}
export function serialOf(token: number): number {
  return Math.floor(token / 2 ** 11)
}
export function cpuOf(token: number): number {
  return Math.floor(token / 8) % 256
}
export function isNoted(token: number): boolean {
  return Math.floor(token / 4) % 2 === 1
}
export function isHandedOver(token: number): boolean {
  return Math.floor(token / 2) % 2 === 1
}
export function rankOf(token: number): number {
  return token % 2
}
