/** What the text diagram looks like, on traces made by hand. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { diagram } from '../../dist/report/diagram.js'
import { cpu, killedOwner, lostWakeUp, racyMessage, Script } from './traces.js'

const EXPECTED = `\
message passing: data race
message.data is read plainly by cpu 1 while cpu 0 writes it plainly

  step  CPU 0                        CPU 1                               source
╭>   0  ○ store message.data = 42 ◄ race                                 message.ts:10
╎    1  │                            ├─┐ irq tick                        message.ts:11
╎    2  │                            │ ● add ticks 0 → 1                 message.ts:12
╎    3  │                            ├─┘ end of irq tick                 message.ts:13
╎    4  │                            ● load message.flag = 0             message.ts:14
╰>   5  │                            ○ load message.data = 42 ←0 ◄ race  message.ts:15

Nothing orders step 0 before step 5 (plain-plain): an atomic store by cpu 0 after step 0
that an atomic load by cpu 1 before step 5 reads

first access, step 0, cpu 0: plain store message.data = 42
  at body0 (file:///tests/message.ts:10:5)
  at run (file:///tests/message.ts:3:1)

second access, step 5, cpu 1: plain load message.data = 42
  at body1 (file:///tests/message.ts:15:5)
  at run (file:///tests/message.ts:3:1)

● atomic   ○ plain   ←n reads what step n wrote

Replay with
  explore("message passing", scenario, { replay: '0.1.1.0' })
  percpu-lab message.ts --replay '0.1.1.0'`

const HANDLERS = `\
   step  CPU 0              CPU 1              CPU 2                               source
      0  ● compareExchange lock.owner 0 → 1    │                                   account.ts:10
      1  ○ store account.left = 90             │                                   account.ts:11
      2  ├─┐ irq tick       │                  │                                   account.ts:12
      3  │ ● add ticks 0 → 1                   │                                   account.ts:13
      4  │ │                ● compareExchange lock.owner = 1, kept ←0              account.ts:14
    5–9  │ │                ● spin on lock.owner = 1 ×5                            account.ts:30
     10  │ ✗ KILLED         │                  │                                   account.ts:20
                            │                  ├─┐ reaper of 0
     11                     │                  │ ● load lock.owner = 1 ←0          account.ts:21
     12                     │                  │ ● store lock.owner = 0            account.ts:22
     13                     ● compareExchange lock.owner 0 → 2 ←12                 account.ts:23`.split('\n')

/** The drawing only: from the header line to the blank line after it. */
function drawing(text: string): string[] {
  const lines = text.split('\n')
  const header = lines.findIndex((line) => /^ +step /.test(line))
  return lines.slice(header, lines.indexOf('', header))
}

describe('a data race', () => {
  it('is drawn whole', () => {
    assert.equal(
      diagram(racyMessage(), { width: 90, command: "percpu-lab message.ts --replay '0.1.1.0'" }),
      EXPECTED,
    )
  })

  it('is coloured when asked for, whatever the environment says', () => {
    const colored = diagram(racyMessage(), { color: true })
    assert.ok(colored.includes('\u001b[31m'))
    assert.ok(!diagram(racyMessage()).includes('\u001b'))
  })
})

describe('a deadlock', () => {
  it('lists who waits for what, and where', () => {
    const text = diagram(lostWakeUp(), { width: 80 })
    assert.match(text, /● wait queue\.bell: asleep ◄ stuck/)
    assert.match(
      text,
      /cpu 0 waits for a notify of queue\.bell\n {4}at body0 \(\S+queue\.ts:14:5\) \(step 4\)/,
    )
    assert.match(text, /■ exit/)
  })
})

describe('handlers, kills and reapers', () => {
  it('are boxes in the column of their CPU', () => {
    assert.deepEqual(drawing(diagram(killedOwner(), { width: 100 })).slice(0, 12), HANDLERS)
  })

  it('nest', () => {
    const trace = new Script('nest.ts')
      .event(1, 'enter')
      .event(2, 'enter')
      .event(2, 'add', 'inner', { read: 0, wrote: 1 })
      .event(2, 'leave')
      .event(1, 'store', 'outer', { wrote: 1 })
      .event(1, 'leave')
      .event(0, 'exit')
      .trace('nest', [
        cpu(0),
        { id: 1, name: 'irq a', kind: 'irq', cpu: 0 },
        { id: 2, name: 'ipi b', kind: 'ipi', cpu: 0 },
      ])
    assert.deepEqual(
      drawing(diagram(trace, { width: 60 })).map((line) => line.replace(/ +\S+$/, '').trim()),
      [
        'step  CPU 0',
        '0  ├─┐ irq a',
        '1  │ ├─┐ ipi b',
        '2  │ │ ● add inner 0 → 1',
        '3  │ ├─┘ end of ipi b',
        '4  │ ● store outer = 1',
        '5  ├─┘ end of irq a',
        '6  ■ exit',
      ],
    )
  })
})

describe('a long run of one process', () => {
  it('takes few rows, and repeated spins one', () => {
    const lines = drawing(diagram(killedOwner(), { width: 140 }))
    assert.ok(lines.some((line) => /5–9 .*● spin on lock\.owner = 1 ×5 .*account\.ts:30$/.test(line)))
    assert.ok(
      lines.some((line) =>
        / 15–\d+ .*○ store journal\[1\] = 1000, journal\[2\] = 2000, journal\[3\] = 3000 /.test(line),
      ),
    )
    assert.ok(lines.length < 24)
  })

  it('keeps plain and atomic operations apart', () => {
    const script = new Script('mixed.ts')
    for (let k = 0; k < 12; k++) script[k % 2 ? 'plain' : 'event'](0, 'store', `w${k}`, { wrote: k })
    assert.equal(drawing(diagram(script.trace('mixed', [cpu(0)]), { width: 100 })).length, 13)
  })
})

describe('values', () => {
  it('are before → after for read-modify-writes, kept for a compareExchange that failed, and stale when stale', () => {
    const text = diagram(
      new Script('values.ts')
        .event(0, 'store', 'x', { wrote: 1 })
        .event(1, 'exchange', 'x', { read: 1, wrote: 7n })
        .event(1, 'compareExchange', 'x', { read: 7n })
        .plain(1, 'load', 'x', { read: 1, readFrom: 0 })
        .plain(1, 'load', 'x', { read: 0, readFrom: -1 })
        .event(0, 'wait', 'x', { read: 'not-equal' })
        .event(0, 'choose', undefined, { read: 'allocation fails' })
        .event(0, 'fill', 'x', { wrote: 0, bytes: 64 })
        .trace('values', [cpu(0), cpu(1)]),
    )
    for (const part of [
      'exchange x 1 → 7 ←0',
      'compareExchange x = 7, kept',
      'load x = 1 ←0, stale',
      'load x = 0 ←initial, stale',
      'wait x: not-equal',
      'choose: allocation fails',
      'fill x with 0, 64 bytes',
    ])
      assert.ok(text.includes(part), part)
  })
})

describe('the source of an event', () => {
  it('is where the accessor of a struct was used', () => {
    const stack = [
      'Words.get [as data] (/x/percpu/dist/layout/scalar-properties.js:64:24)',
      'body (/x/mine.ts:7:1)',
    ]
    const trace = new Script('x.ts').plain(0, 'load', 'data', { read: 1, stack }).trace('place', [cpu(0)])
    assert.match(diagram(trace), /load data = 1 +mine\.ts:7/)
  })
})

describe('many CPUs on a narrow terminal', () => {
  it('move together, and no event is cut', () => {
    const script = new Script('srcu.ts')
    for (let k = 0; k < 12; k++)
      script.event(k % 6, 'store', `srcu.locks[${k % 2}][cpu${k % 6}]`, { wrote: 24 })
    const lines = drawing(diagram(script.trace('many', [0, 1, 2, 3, 4, 5].map(cpu)), { width: 80 }))
    assert.equal(lines.length, 13)
    assert.ok(
      lines.slice(1).every((line, k) => line.includes(`store srcu.locks[${k % 2}][cpu${k % 6}] = 24`)),
    )
  })
})

describe('the call that replays', () => {
  it('is JavaScript that gives the schedule, also when the schedule is long', () => {
    for (const schedule of ['0.1', `it's ${'ab\\c'.repeat(80)}`]) {
      const text = diagram({ ...lostWakeUp(), schedule }, { width: 60 })
      const call = text.slice(text.indexOf('explore('))
      const explore = (_name: string, _scenario: unknown, options: { replay: string }) => options.replay
      // eslint-disable-next-line @typescript-eslint/no-implied-eval, @typescript-eslint/no-unsafe-call -- what people paste
      assert.equal(new Function('explore', 'scenario', `return ${call}`)(explore, undefined), schedule)
    }
  })
})
