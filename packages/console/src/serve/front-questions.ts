/** What threads that accept connections for addresses, and the main thread, say to each other. */
import type { AddressRules } from '../address/rules.js'
import type { BatchFormat, BatchResult } from '../lookup/protocol.js'
import type { TableRows } from '../table/read.js'
import type { LookupCount } from '../web/frame.js'
import type { FrontSetup } from './front-protocol.js'
import type { Health } from './health.js'

export interface LookupFrontSetup extends FrontSetup {
  /** Columns of data. */
  readonly fields: readonly string[]
  readonly rules: AddressRules
  /** What it answers from until the first table is published. */
  readonly rows: TableRows | undefined
  /** Whom the data is owed to. */
  readonly attribution: readonly string[]
  /** Batches of a request that are under way at once. */
  readonly window: number
}

/** Questions, by what they ask for: what is sent, and what is answered. */
export type LookupQuestions = {
  /** Has a worker answer the lines in `buffer`. */
  readonly batch: {
    readonly asked: {
      readonly buffer: ArrayBuffer
      readonly format: BatchFormat
      /** A buffer to write answers into, if there is one left over. */
      readonly spare: ArrayBuffer | undefined
    }
    readonly answer: BatchResult | BatchFailure
  }
  readonly health: { readonly asked: undefined; readonly answer: Health }
  readonly metrics: { readonly asked: undefined; readonly answer: string }
  readonly lookups: { readonly asked: undefined; readonly answer: readonly LookupCount[] }
}

/** Why a batch has no answers: its workers were lost, or it was given up. */
export interface BatchFailure {
  readonly failure: 'lost' | 'aborted'
  readonly message: string
}
