import assert from 'node:assert/strict'
import test from 'node:test'
import { ConformanceFailure, replayTrace } from 'percpu-lab/conformance'
import { ExplorationFailure, explore, mem, percpu, type Scenario, type Trace } from 'percpu-lab'
import { Atomics as foreign } from 'percpu-lab/foreign'
import { LitmusRunError } from 'percpu-lab/litmus'

/** The trace of one execution of a scenario, which has no failure of its own. */
async function traceOf(
  describe: (t: Scenario) => void,
  accept: (results: readonly unknown[]) => boolean,
): Promise<Trace> {
  const scenario = (t: Scenario) => {
    describe(t)
    t.finally((results) => assert.ok(!accept(results)))
  }
  const failure = await explore('replayed', scenario).then(
    () => undefined,
    (error: unknown) => error,
  )
  assert.ok(failure instanceof ExplorationFailure && failure.kind === 'assertion', String(failure))
  assert.ok(failure.trace)
  return failure.trace
}

const { struct, atomic, published, i32, u8, u16, u64, f64 } = percpu
const Words = struct('Words', {
  flag: atomic(i32),
  data: published(f64),
  small: published(u16),
  tiny: published(u8),
  large: atomic(u64),
})

test('message passing with words of all widths: every value is read again', async () => {
  const trace = await traceOf(
    (t) => {
      const m = t.memory(Words)
      t.cpu(0, () => {
        m.data = 1.5
        m.small = 65535
        m.tiny = 200
        m.large.add(2n ** 63n)
        m.flag.store(-7)
      })
      t.cpu(1, () => (m.flag.load() === -7 ? [m.data, m.small, m.tiny, m.large.load()] : undefined))
    },
    (results) => results[1] !== undefined,
  )
  const { steps, compared, threads, stale } = await replayTrace(trace)
  assert.deepEqual({ steps, compared, threads, stale }, { steps: 10, compared: 6, threads: 2, stale: 0 })
})

test('every kind of read-modify-write finds and leaves what the lab says', async () => {
  const trace = await traceOf(
    (t) => {
      const { memory, base } = t.words(2)
      mem.store32(memory.i32, base, 12)
      const all = () => {
        const found = [
          mem.addAtomic32(memory.i32, base, 2147483647),
          mem.subAtomic32(memory.i32, base, -5),
          mem.andAtomic32(memory.i32, base, 0x7ffffff3),
          mem.orAtomic32(memory.i32, base, 0x40000001),
          foreign.xor(new Int32Array(memory.buffer), base, 0x55),
          mem.exchangeAtomic32(memory.i32, base, -1),
          mem.compareExchangeAtomic32(memory.i32, base, 3, 4),
          mem.compareExchangeAtomic32(memory.i32, base, -1, 4),
        ]
        return [...found, mem.loadAtomic32(memory.i32, base)]
      }
      t.cpu(0, all)
      t.cpu(1, all)
    },
    () => true,
  )
  const { steps, compared } = await replayTrace(trace)
  assert.deepEqual({ steps, compared }, { steps: 18, compared: 18 })
})

test('a thread that waits is woken in its turn', async () => {
  const trace = await traceOf(
    (t) => {
      const { memory, base } = t.words(1)
      t.cpu(0, () => mem.wait32(memory.i32, base, 0))
      t.cpu(1, () => {
        mem.storeAtomic32(memory.i32, base, 1)
        return mem.notify32(memory.i32, base)
      })
    },
    (results) => results[0] === 'ok' && results[1] === 1,
  )
  assert.ok(trace.events.some(({ name }) => name === 'wait'))
  const report = await replayTrace(trace)
  assert.equal(report.threads, 2)
})

test('interrupts run on the thread of their CPU', async () => {
  const trace = await traceOf(
    (t) => {
      const { memory, base } = t.words(1)
      t.cpu(0, () => {
        mem.addAtomic32(memory.i32, base, 1)
        return mem.addAtomic32(memory.i32, base, 1)
      })
      t.irq(0, () => void mem.addAtomic32(memory.i32, base, 10))
    },
    (results) => results[0] === 11,
  )
  const { steps, threads } = await replayTrace(trace)
  assert.deepEqual({ steps, threads }, { steps: 3, threads: 1 })
})

test('a value that is not the one of the trace is a failure with its step and the engine', async () => {
  const trace = await traceOf(
    (t) => {
      const m = t.memory(Words)
      t.cpu(0, () => m.flag.store(1))
      t.cpu(1, () => m.flag.load())
    },
    (results) => results[1] === 1,
  )
  const events = trace.events.map((event) => (event.name === 'load' ? { ...event, read: 2 } : event))
  const load = events.findIndex(({ name }) => name === 'load')
  await assert.rejects(replayTrace({ ...trace, events }), (error: unknown) => {
    assert.ok(error instanceof ConformanceFailure)
    assert.equal(error.details['step'], load)
    assert.match(error.message, /atomic load of flag found 1 instead of 2; Node/)
    return true
  })
})

test('ranges of bytes cannot be replayed: traces do not have them', async () => {
  const trace = await traceOf(
    (t) => {
      const { memory, base } = t.words(4)
      t.cpu(0, () => mem.fillBytes(memory, base * 4, 16, 1))
    },
    () => true,
  )
  await assert.rejects(replayTrace(trace), LitmusRunError)
})
