/** What the threads that answer requests, and the thread that makes changes, say to each other. */
import type { MachineHandle } from 'percpu'
import type { LookupCount } from '../web/frame.js'
import type { TableSpec } from './change.js'
import type { ChangeEvent } from './history.js'
import type { CollectedMetrics } from './metrics.js'
import type { Health } from './routes.js'
import type { Operation, Outcome } from './request.js'

export interface FrontSetup {
  readonly handle: MachineHandle
  readonly specs: readonly TableSpec[]
  readonly token: string
  /** Bytes of changes that are kept for clients which come back. */
  readonly history: number
  readonly host: string
  readonly port: number
  /** Whether others listen on the port as well. */
  readonly isShared: boolean
  readonly bodyLimit: number
  readonly timeoutMilliseconds: number
  readonly logLevel: string
}

/** Questions, by what they ask for: what is sent, and what is answered. */
export interface Questions {
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
    /** What is kept; each change since then comes as an `event`. */
    readonly answer: { readonly forgotten: number; readonly events: readonly ChangeEvent[] }
  }
  readonly health: { readonly asked: undefined; readonly answer: Health }
  readonly metrics: { readonly asked: undefined; readonly answer: string }
  readonly sequence: { readonly asked: undefined; readonly answer: number }
  readonly lookups: { readonly asked: undefined; readonly answer: readonly LookupCount[] }
}
export type Topic = keyof Questions

/** From a thread that answers requests. `id`: its own. */
export type FromFront =
  | { readonly type: 'listening'; readonly port: number; readonly cpu: number }
  | { readonly type: 'failed'; readonly message: string; readonly code: string | undefined }
  | { [T in Topic]: { readonly type: T; readonly id: number; readonly asked: Questions[T]['asked'] } }[Topic]
  | { readonly type: 'collected'; readonly id: number; readonly metrics: CollectedMetrics }

export type ToFront =
  | { readonly type: 'answer'; readonly id: number; readonly answer: Questions[Topic]['answer'] }
  | {
      readonly type: 'refusal'
      readonly id: number
      readonly status: number
      readonly code: string
      readonly message: string
    }
  | { readonly type: 'event'; readonly event: ChangeEvent }
  | { readonly type: 'collect'; readonly id: number }
  | { readonly type: 'stop' }
