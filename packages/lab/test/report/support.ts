/** Arbitrary traces, and reading the steps back out of a drawn diagram. */
import fc from 'fast-check'
import type { EventName, Trace, TraceEvent, TraceProcess } from '../../dist/trace.js'

// prettier-ignore
export const eventNames: readonly EventName[] = [
  'load', 'store', 'add', 'sub', 'and', 'or', 'xor', 'exchange', 'compareExchange', 'fill', 'copyIn', 'copyOut', 'wait',
  'wake', 'notify', 'spin', 'choose', 'enter', 'leave', 'ipi', 'mask', 'unmask', 'turn', 'safepoint', 'exit', 'kill',
  'timeout', 'allocate', 'free',
]

const text = fc.oneof(
  fc.string({ maxLength: 30 }),
  fc.string({ unit: 'grapheme', maxLength: 30 }),
  fc.string({ unit: 'binary', maxLength: 12 }),
)
const value = fc.option(fc.oneof(fc.integer(), fc.bigInt(), text), { nil: undefined })
const frame = fc.oneof(
  text,
  fc.tuple(text, fc.nat(999)).map(([name, line]) => `${name} (/a/${name}.ts:${line}:1)`),
)

const event = (processes: number) =>
  fc.record({
    process: fc.nat(processes),
    name: fc.constantFrom(...eventNames),
    order: fc.constantFrom('atomic' as const, 'plain' as const, 'none' as const),
    address: fc.option(
      fc.nat(8).map((word) => word * 4),
      { nil: undefined },
    ),
    bytes: fc.nat(8),
    word: fc.option(text, { nil: undefined }),
    kind: fc.constantFrom('atomic' as const, 'owner' as const, undefined),
    read: value,
    wrote: value,
    readFrom: fc.option(fc.integer({ min: -1, max: 40 }), { nil: undefined }),
    stack: fc.array(frame, { maxLength: 3 }),
  })

const processesOf = (kinds: readonly TraceProcess['kind'][], cpus: number): TraceProcess[] =>
  kinds.map((kind, id) => ({ id, name: `${kind} ${id}`, kind, cpu: id % cpus }))

/**
 * Any trace: also ones with handlers that never end, processes nobody declared, and names that no
 * terminal likes.
 */
export const anyTrace: fc.Arbitrary<Trace> = fc
  .record({
    kinds: fc.array(fc.constantFrom('cpu', 'irq', 'ipi', 'reaper', 'kill', 'timer'), {
      minLength: 1,
      maxLength: 12,
    }),
    cpus: fc.integer({ min: 1, max: 12 }),
    test: text,
    schedule: fc.oneof(text, fc.string({ minLength: 100, maxLength: 300 })),
    message: text,
    failed: fc.constantFrom('none', 'race', 'stuck', 'invariant'),
  })
  .chain(({ kinds, cpus, test, schedule, message, failed }) =>
    fc.array(event(kinds.length), { maxLength: 60 }).map((events): Trace => {
      const last = Math.max(0, events.length - 1)
      const race = {
        first: Math.floor(last / 3),
        second: last,
        rule: 'plain-plain',
        missing: message,
      } as const
      return {
        test,
        schedule,
        processes: processesOf(kinds, cpus),
        events: events.map((one, step): TraceEvent => ({ ...one, step })),
        failure:
          failed === 'none'
            ? undefined
            : {
                kind: failed === 'race' ? 'data race' : failed === 'stuck' ? 'deadlock' : 'invariant',
                message,
                race: failed === 'race' && last > 0 ? race : undefined,
                stuck: failed === 'stuck' ? [{ process: 0, waitsFor: message }] : [],
              },
      }
    }),
  )

/** The steps of a diagram's rows, from the labels in its gutter (`5`, `5–9`), in order. */
export function labelledSteps(diagram: string): number[] {
  const lines = diagram.split('\n')
  const header = lines.findIndex((line) => /^ +step( |$)/.test(line))
  if (header < 0) return []
  const end = lines.indexOf('', header)
  return lines.slice(header + 1, end < 0 ? undefined : end).flatMap((line) => {
    const [, first, last] = /^(?:╭>|╰>|╎)? *(\d+)(?:–(\d+))?(?: |$)/.exec(line) ?? []
    if (first === undefined) return []
    const from = Number(first)
    return Array.from({ length: Number(last ?? first) - from + 1 }, (_, k) => from + k)
  })
}
