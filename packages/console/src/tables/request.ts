/** Requests to change a table, and what becomes of them. */
import type { KeyRange } from './keys.js'
import type { Table } from './table.js'

/** What must be true before a change is made. A version is that of just this key or range. */
export type Condition = 'absent' | 'present' | number

export interface Operation extends KeyRange {
  /** JSON in UTF-8. Without, what is there is deleted. */
  readonly value: Uint8Array | undefined
  readonly condition?: Condition | undefined
}
export interface WriteRequest {
  readonly table: Table
  readonly operations: readonly Operation[]
  /** Whether all is made, or nothing. */
  readonly isAtomic: boolean
}

/** What became of an operation. `version` is the new one, or what was found. */
export type Outcome =
  | { readonly made: true; readonly version: number; readonly wasThere: boolean }
  | {
      readonly made: false
      readonly why: 'condition' | 'missing' | 'others'
      readonly version: number | undefined
    }

/** What a front end needs of the writer. */
export interface Changes {
  /** @throws Refusal. Nothing was changed then. */
  write(request: WriteRequest): Promise<readonly Outcome[]>
}

/** Why an operation is not made, if it is not. `version`: of what there is. */
export function whyNot(
  { value, condition }: Operation,
  version: number | undefined,
): 'condition' | 'missing' | undefined {
  if (condition === 'absent' && version !== undefined) return 'condition'
  if (condition === 'present' && version === undefined) return 'condition'
  if (typeof condition === 'number' && version !== condition) return 'condition'
  return value === undefined && version === undefined ? 'missing' : undefined
}
