/**
 * What the pool and its workers say to each other. Buffers are transferred, never copied by the
 * messages.
 */
import type { MachineHandle } from 'percpu'
import type { AddressRules } from '../address/rules.js'
import type { FilePart } from './file-part.js'

/** The label under which a worker's batch is seen from outside. */
export const BATCH_LABEL = 'lookup batch'

/** How the addresses in a batch are written, one a line: bare, or each as a JSON string. */
export type BatchFormat = 'text' | 'ndjson'

/** The name of a table that may change, or the memory of the packed rows of one that does not. */
export type TablePlace = string | { readonly ipv4: SharedArrayBuffer; readonly ipv6: SharedArrayBuffer }

export interface WorkerSetup {
  readonly handle: MachineHandle
  readonly table: TablePlace
  /** Its columns of data. */
  readonly fields: readonly string[]
  readonly rules: AddressRules
}

export type ToWorker =
  | {
      readonly type: 'batch'
      readonly id: number
      readonly format: BatchFormat
      readonly input: ArrayBuffer
      /** A buffer to write the answers into, if there is one left over. */
      readonly spare: ArrayBuffer | undefined
    }
  /** Lines that it reads itself: `answered` follows, or `failed`. */
  | {
      readonly type: 'part'
      readonly id: number
      readonly format: BatchFormat
      readonly part: FilePart
    }
  /** Where the answers to a part go: `written` follows, or `failed`. Nowhere: nothing follows. */
  | {
      readonly type: 'write'
      readonly id: number
      readonly output: number
      readonly position: number | undefined
    }
  | { readonly type: 'stop' }

export type FromWorker =
  | { readonly type: 'ready'; readonly cpu: number; readonly attachMilliseconds: number }
  | ({ readonly type: 'done'; readonly id: number } & BatchResult)
  | { readonly type: 'answered'; readonly id: number; readonly counts: BatchCounts }
  | { readonly type: 'written'; readonly id: number }
  | { readonly type: 'failed'; readonly id: number; readonly failure: PartFailure }

/** Why a part has no answers, or why they are not written. */
export interface PartFailure {
  readonly while: 'reading' | 'writing'
  readonly message: string
  /** Where a line begins that is too long. */
  readonly position: number | undefined
}

/** Answers to one batch. */
export interface BatchResult extends BatchCounts {
  /** NDJSON, of which the first `length` bytes count. */
  readonly buffer: ArrayBuffer
}
export interface BatchCounts {
  /** Bytes of answers. */
  readonly length: number
  /** Lines of the input, blank ones included. */
  readonly lines: number
  /** Addresses answered, bad ones included. */
  readonly answered: number
  /** The first line that is not what the format says, from 1; there are no answers from it on. */
  readonly fault: { readonly line: number; readonly message: string } | undefined
}
