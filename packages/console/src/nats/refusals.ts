/** What a server's errors mean for whoever asked for a change. */
import { JetStreamApiError } from '@nats-io/jetstream'
import { Refusal } from '../serve/refusal.js'

/** Codes of errors of JetStream, from `errors.json` of nats-server. */
const WRONG_REVISION = new Set([10071, 10164])
const TOO_LARGE = 10_054
const FULL = new Set([10_023, 10_028, 10_047, 10_077])

/** Whether a key has another revision than was expected. */
export function isOtherRevision(error: unknown): boolean {
  return error instanceof JetStreamApiError && WRONG_REVISION.has(error.code)
}

export function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error
  if (error instanceof JetStreamApiError) {
    if (error.code === TOO_LARGE)
      return new Refusal(413, 'VALUE_TOO_LARGE', 'the value is larger than the bucket takes')
    if (FULL.has(error.code))
      return new Refusal(507, 'BUCKET_FULL', `the bucket is full: nothing was changed (${error.message})`)
  }
  if (error instanceof Error && error.name === 'JetStreamNotEnabled')
    return new Refusal(503, 'CUT_OFF', 'the bucket is gone, or has no leader: nothing was changed')
  return new Refusal(
    503,
    'CUT_OFF',
    `the bucket does not answer (${(error as Error).message}): the change was made, or was not`,
  )
}
