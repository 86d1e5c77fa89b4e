/**
 * What the threads that answer requests for tables, and the thread that makes changes, say to each
 * other.
 */
import type { FrontSetup } from '../serve/front-protocol.js'
import type { LookupCount } from '../web/frame.js'
import type { TableSpec } from './change.js'
import type { ChangeEvent } from './history.js'
import type { Health } from './routes.js'
import type { Operation, Outcome } from './request.js'

export interface TableFrontSetup extends FrontSetup {
  readonly specs: readonly TableSpec[]
  readonly token: string
  /** Bytes of changes that are kept for clients which come back. */
  readonly history: number
}

/** Questions, by what they ask for: what is sent, and what is answered. */
export type TableQuestions = {
  readonly write: {
    readonly asked: {
      readonly table: string
      readonly operations: readonly Operation[]
      readonly isAtomic: boolean
    }
    readonly answer: readonly Outcome[]
  }
  readonly follow: {
    readonly asked: undefined
    /** What is kept; of each change since then the thread is told. */
    readonly answer: { readonly forgotten: number; readonly events: readonly ChangeEvent[] }
  }
  readonly health: { readonly asked: undefined; readonly answer: Health }
  readonly metrics: { readonly asked: undefined; readonly answer: string }
  readonly sequence: { readonly asked: undefined; readonly answer: number }
  readonly lookups: { readonly asked: undefined; readonly answer: readonly LookupCount[] }
}
