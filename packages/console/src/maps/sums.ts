/** What is told of a whole space. */
import type { SpaceReport } from 'percpu'
import { visible } from '../visible.js'
import { bytesText } from './bytes.js'

const kinds = { space: 'address space', sparseArray: 'sparse array', snapshot: 'snapshot' } as const
/** Bytes of a table. */
const TABLE = 4096

export function titleOf({ kind, name }: SpaceReport): string {
  return `${kinds[kind]} ${visible(name)}`
}

/** Mapped and resident memory, and that of the tables; what is shared counts in each space. */
export function summaryOf({ areas, tables }: SpaceReport): string {
  const mapped = areas.reduce((sum, { bytes }) => sum + bytes, 0)
  const resident = areas.reduce((sum, area) => sum + area.resident, 0)
  return [
    `${plural(areas.length, 'area')}: ${bytesText(mapped)} mapped, ${bytesText(resident)} resident`,
    `${plural(tables.length, 'table')}: ${bytesText(tables.length * TABLE)}`,
  ].join('; ')
}

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
