/** Traces made by hand, for the tests of the diagrams. */
import type { DataRace, FailureKind, Trace, TraceEvent, TraceProcess } from '../../dist/trace.js'

export const cpu = (id: number): TraceProcess => ({ id, name: `cpu ${id}`, kind: 'cpu', cpu: id })

type Kind = TraceEvent['kind']
interface Details {
  read?: TraceEvent['read']
  wrote?: TraceEvent['wrote']
  readFrom?: number
  kind?: Kind
  bytes?: number
  stack?: readonly string[]
}

/** Collects events; each call of an event function appends one. */
export class Script {
  readonly events: TraceEvent[] = []
  readonly #addresses = new Map<string, number>()
  readonly #file: string

  constructor(file: string) {
    this.#file = file
  }

  event(
    process: number,
    name: TraceEvent['name'],
    word?: string,
    details: Details & { order?: TraceEvent['order'] } = {},
  ): this {
    const step = this.events.length
    const order = details.order ?? (word === undefined ? 'none' : 'atomic')
    this.events.push({
      step,
      process,
      name,
      order,
      address: word === undefined ? undefined : this.#address(word),
      bytes: details.bytes ?? (word === undefined ? 0 : 4),
      word,
      kind: details.kind ?? (word === undefined ? undefined : order === 'plain' ? 'published' : 'atomic'),
      read: details.read,
      wrote: details.wrote,
      readFrom: details.readFrom,
      stack: details.stack ?? [
        `body${process} (file:///tests/${this.#file}:${10 + step}:5)`,
        `run (file:///tests/${this.#file}:3:1)`,
      ],
    })
    return this
  }

  plain(process: number, name: TraceEvent['name'], word: string, details: Details = {}): this {
    return this.event(process, name, word, { ...details, order: 'plain' })
  }

  #address(word: string): number {
    const known = this.#addresses.get(word)
    if (known !== undefined) return known
    const address = this.#addresses.size * 4
    this.#addresses.set(word, address)
    return address
  }

  trace(
    test: string,
    processes: readonly TraceProcess[],
    failure?: {
      kind: FailureKind
      message: string
      race?: DataRace
      stuck?: readonly { process: number; waitsFor: string }[]
    },
    schedule = '0.1.1.0',
  ): Trace {
    return {
      test,
      processes,
      events: this.events,
      schedule,
      failure: failure && { race: undefined, stuck: [], ...failure },
    }
  }
}

/** A message is published plainly, and the reader looks at it without having seen the flag. */
export function racyMessage(): Trace {
  return new Script('message.ts')
    .plain(0, 'store', 'message.data', { wrote: 42 })
    .event(2, 'enter')
    .event(2, 'add', 'ticks', { read: 0, wrote: 1 })
    .event(2, 'leave')
    .event(1, 'load', 'message.flag', { read: 0 })
    .plain(1, 'load', 'message.data', { read: 42 })
    .trace('message passing', [cpu(0), cpu(1), { id: 2, name: 'irq tick', kind: 'irq', cpu: 1 }], {
      kind: 'data race',
      message: 'message.data is read plainly by cpu 1 while cpu 0 writes it plainly',
      race: {
        first: 0,
        second: 5,
        rule: 'plain-plain',
        missing: 'an atomic store by cpu 0 after step 0 that an atomic load by cpu 1 before step 5 reads',
      },
    })
}

/** A waiter checks, is overtaken, and sleeps for ever. */
export function lostWakeUp(): Trace {
  return new Script('queue.ts')
    .event(0, 'load', 'queue.count', { read: 0 })
    .event(1, 'add', 'queue.count', { read: 0, wrote: 1 })
    .event(1, 'notify', 'queue.bell', { read: 0 })
    .event(1, 'exit')
    .event(0, 'wait', 'queue.bell', { read: 'asleep' })
    .trace('lost wake-up', [cpu(0), cpu(1)], {
      kind: 'deadlock',
      message: 'cpu 0 waits for ever',
      stuck: [{ process: 0, waitsFor: 'a notify of queue.bell' }],
    })
}

/**
 * A lock's owner is killed in a handler; a reaper frees the lock; the next owner finds half a
 * change.
 */
export function killedOwner(): Trace {
  const script = new Script('account.ts')
    .event(0, 'compareExchange', 'lock.owner', { read: 0, wrote: 1 })
    .plain(0, 'store', 'account.left', { wrote: 90, kind: 'locked' })
    .event(3, 'enter')
    .event(3, 'add', 'ticks', { read: 0, wrote: 1 })
    .event(1, 'compareExchange', 'lock.owner', { read: 1 })
  for (let k = 0; k < 5; k++)
    script.event(1, 'spin', 'lock.owner', { read: 1, stack: ['lock (account.ts:30:1)'] })
  script
    .event(4, 'kill')
    .event(5, 'load', 'lock.owner', { read: 1 })
    .event(5, 'store', 'lock.owner', { wrote: 0 })
  script.event(1, 'compareExchange', 'lock.owner', { read: 0, wrote: 2 })
  for (let k = 0; k < 12; k++) script.plain(1, 'store', `journal[${k}]`, { wrote: k * 1000, kind: 'locked' })
  return script
    .plain(1, 'load', 'account.left', { read: 90, kind: 'locked' })
    .plain(1, 'load', 'account.right', { read: 100, kind: 'locked' })
    .trace(
      'transfer',
      [
        cpu(0),
        cpu(1),
        cpu(2),
        { id: 3, name: 'irq tick', kind: 'irq', cpu: 0 },
        { id: 4, name: 'kill of cpu 0', kind: 'kill', cpu: 0 },
        { id: 5, name: 'reaper of 0', kind: 'reaper', cpu: 2 },
      ],
      { kind: 'invariant', message: 'the sum is 190, not 200' },
      'AAECAwQF'.repeat(12),
    )
}
