/**
 * What the threads that answer requests for tables, and the thread that makes changes, say to each
 * other.
 */
import type { FrontSetup } from '../serve/front-protocol.js'
import type { LookupCount } from '../web/frame.js'
import type { ChangeEvent } from './history.js'
import type { Health } from './routes.js'
import type { TableList } from './place.js'
import type { Operation, Outcome } from './request.js'

export interface TableFrontSetup extends FrontSetup {
  readonly list: TableList
  /** Words of the place, where other nodes make changes, too. */
  readonly place: SharedArrayBuffer | undefined
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
    /** What is kept; since then the thread is {@link Told} of each change. */
    readonly answer: { readonly forgotten: number; readonly events: readonly ChangeEvent[] }
  }
  readonly health: { readonly asked: undefined; readonly answer: Health }
  readonly metrics: { readonly asked: undefined; readonly answer: string }
  readonly sequence: { readonly asked: undefined; readonly answer: number }
  readonly reach: { readonly asked: number; readonly answer: undefined }
  readonly list: { readonly asked: undefined; readonly answer: TableList }
  readonly lookups: { readonly asked: undefined; readonly answer: readonly LookupCount[] }
}

/** A change, or that what comes does not build on what was told. */
export type Told = { readonly event: ChangeEvent } | { readonly restart: number }
