/**
 * What the threads that answer requests, and the thread that started them, say to each other.
 *
 *     front   listening, or failed      once
 *             question                  its topic names what is asked for: answer or refusal
 *             log                       a line, which the other thread writes
 *     main    answer, refusal           of a question
 *             told                      what a front asked to be told of
 *             collect                   collected: what it has counted
 *             stop                      it ends
 */
import type { MachineHandle } from 'percpu'
import type { CollectedMetrics } from './counters.js'

/** Of every front, whatever it answers. */
export interface FrontSetup {
  readonly handle: MachineHandle
  readonly host: string
  readonly port: number
  /** Whether others listen on the port as well. */
  readonly isShared: boolean
  readonly bodyLimit: number
  readonly timeoutMilliseconds: number
  readonly logLevel: string
}

/** Of that, what does not come from whoever starts the front. */
export type OwnSetup<Setup extends FrontSetup = FrontSetup> = Omit<
  Setup,
  'handle' | 'port' | 'isShared' | 'logLevel'
>

/** Questions, by their topics. */
export type Questions = Readonly<Record<string, { readonly asked: unknown; readonly answer: unknown }>>
export type Topic<Q> = keyof Q & string

/** `id`: the front's own. */
export type FromFront =
  | { readonly type: 'joined'; readonly cpu: number }
  | { readonly type: 'listening'; readonly port: number }
  | { readonly type: 'failed'; readonly message: string; readonly code: string | undefined }
  | { readonly type: 'question'; readonly id: number; readonly topic: string; readonly asked: unknown }
  | { readonly type: 'collected'; readonly id: number; readonly metrics: CollectedMetrics }
  | { readonly type: 'log'; readonly line: string }

export type ToFront =
  | { readonly type: 'answer'; readonly id: number; readonly answer: unknown }
  | {
      readonly type: 'refusal'
      readonly id: number
      readonly status: number
      readonly code: string
      readonly message: string
    }
  | { readonly type: 'told'; readonly what: unknown }
  | { readonly type: 'collect'; readonly id: number }
  | { readonly type: 'stop' }

/** Fields of a question or an answer whose buffers are moved to the other thread, not copied. */
const MOVED = ['buffer', 'spare'] as const

/** The buffers of a question or an answer that are moved. */
export function movedWith(content: unknown): ArrayBuffer[] {
  if (typeof content !== 'object' || content === null) return []
  const fields = content as Partial<Record<(typeof MOVED)[number], unknown>>
  return MOVED.flatMap((name) => {
    const value = fields[name]
    return value instanceof ArrayBuffer ? [value] : []
  })
}
