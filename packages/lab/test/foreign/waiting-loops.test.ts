/**
 * Loops of foreign code that wait by looking again and again: which ones the compile step takes for
 * such, how they are explored, and what is said of others.
 */
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { describe, it } from 'node:test'
import { explore, mem, type Scenario } from 'percpu-lab'
import { transform } from '../../dist/foreign/transform.js'
import { fails, wordsOf } from '../engine/support.js'

const waits = (code: string) =>
  transform(`function body(w, o) { ${code} }`, { file: 'loop.js' }).code.includes('.turn()')

describe('a loop that waits', () => {
  it('leaves nothing behind when a turn has changed no memory', () => {
    for (const loop of [
      'while (Atomics.compareExchange(w, 0, 0, 1) !== 0);',
      'while (Atomics.exchange(this.words, 0, 1) === 1) Atomics.pause()',
      'const mine = Atomics.add(w, 0, 1); while (Atomics.load(w, 1) !== mine) {}',
      'while (w[0] === 0) continue',
      'do {} while (Atomics.load(w, o.flag) === 0 || w[o] > 5)',
      'let seen; do { seen = Atomics.load(w, 0) } while (seen === 0); return seen',
      'let seen; while ((seen = Atomics.load(w, 0)) === 0); return seen',
      'for (;;) { const seen = Atomics.load(w, 0); if (!(seen & 1) && Atomics.compareExchange(w, 0, seen, 1) === seen) return seen }',
      'if (o) while (!w[0]); else while (!w[1]);',
    ])
      assert.equal(waits(loop), true, loop)
    assert.match(
      transform('class Lock { #w; lock() { while (Atomics.load(this.#w, 0)); } }', { file: 'a.js' }).code,
      /\.turn\(\)/,
    )
  })
  it('is none that could remember its turns', () => {
    for (const loop of [
      'let n = 0; while (Atomics.load(w, 0) === 0 && n++ < 3);',
      'let n = 0; while (Atomics.load(w, 0) === 0) n = n + 1',
      'for (let n = 0; n < 3; n++) if (Atomics.load(w, 0)) break',
      'while (Atomics.load(w, 0) === 0) o.pause()',
      'while (!o.tryLock());',
      'while (Atomics.load(w, 0) === 0) o.turns = 1',
      'let last; while (Atomics.load(w, 0) !== last) last = Atomics.load(w, 1)',
      'let last; for (;;) { if (Atomics.load(w, 0) === last) break; last = Atomics.load(w, 0) }',
      'let last; for (;;) { if (Atomics.load(w, 0)) break; last = 1 }; return last',
      'let last; while (Atomics.load(w, 0) || (last = 1)); return last',
      'let x = 0; for (;;) { if (x) return; { const x = 1 } x = Atomics.load(w, 0) }',
      'while (Atomics.load(w, 0) === 0) Atomics.wait(w, 0, 0)',
      'while (`${o}` in w);',
      'again: while (Atomics.load(w, 0) === 0) continue again',
      'const Atomics = o; while (Atomics.load(w, 0) === 0);',
      'while (Atomics?.load(w, 0) === 0);',
      'while (typeof w === "object");',
    ])
      assert.equal(waits(loop), false, loop)
    assert.doesNotMatch(
      transform('class A { get #w() {} f() { while (Atomics.load(this.#w, 0)); } }', { file: 'a.js' }).code,
      /\.turn\(\)/,
    )
  })
})

/** Foreign code, compiled; it exports by assigning to `code`. */
async function load<Code>(source: string): Promise<Code> {
  const { code } = transform(`export const code = {}; ${source}`, { file: 'foreign.js' })
  const module = (await import(`data:text/javascript,${encodeURIComponent(code)}`)) as { code: Code }
  return module.code
}

interface Lock {
  readonly lock: (words: Int32Array) => void
  readonly unlock: (words: Int32Array) => void
}
const locks = {
  'a test-and-set lock': `code.lock = (w) => { while (Atomics.exchange(w, 0, 1) === 1); }
    code.unlock = (w) => { Atomics.store(w, 0, 0) }`,
  'a lock that compares': `code.lock = (w) => { while (Atomics.compareExchange(w, 0, 0, 1) !== 0); }
    code.unlock = (w) => { Atomics.store(w, 0, 0) }`,
  'a ticket lock': `
    code.lock = (w) => { const mine = Atomics.add(w, 0, 1); while (Atomics.load(w, 1) !== mine); }
    code.unlock = (w) => { Atomics.add(w, 1, 1) }`,
  'a lock that looks first': `code.lock = (w) => {
      for (;;) {
        let seen
        do { seen = Atomics.load(w, 0) } while (seen !== 0)
        if (Atomics.compareExchange(w, 0, seen, 1) === seen) return
      }
    }
    code.unlock = (w) => { Atomics.store(w, 0, 0) }`,
}

function counting({ lock, unlock }: Lock, cpus = 2) {
  return (t: Scenario) => {
    const { buffer } = t.shared
    t.name(buffer, { lock: 0, serving: 4, count: 8 })
    for (let cpu = 0; cpu < cpus; cpu++)
      t.cpu(cpu, () => {
        const words = new Int32Array(buffer)
        lock(words)
        // The scenario is not compiled: these are accesses of the lab's own.
        const { i32 } = t.shared
        mem.store32(i32, 2, mem.load32(i32, 2) + 1)
        unlock(words)
      })
    t.finally(() => assert.equal(mem.load32(t.shared.i32, 2), cpus))
  }
}

describe('a hand-written lock', () => {
  for (const [name, source] of Object.entries(locks))
    it(`is explored completely: ${name}`, async () => {
      const lock = await load<Lock>(source)
      for (const cpus of [2, 3]) {
        const { executions, truncated } = await explore(name, counting(lock, cpus))
        // One for each order in which the CPUs get the lock, at least.
        assert.ok(executions >= (cpus === 2 ? 2 : 6) && !truncated, `${executions} executions`)
      }
      await explore(name, counting(lock), { mode: 'enumerate' })
      await explore(name, counting(lock), { mode: 'pct', executions: 50 })
    })
  it('fails if it lets two in', async () => {
    const lock = await load<Lock>(`
      code.lock = (w) => { while (Atomics.load(w, 0) !== 0); Atomics.store(w, 0, 1) }
      code.unlock = (w) => { Atomics.store(w, 0, 0) }`)
    await fails('data race', 'lets two in', counting(lock))
  })
  it('starves who waits for one that is never given back', async () => {
    const lock = await load<Lock>(`${locks['a lock that compares']}; code.unlock = () => {}`)
    const { message, trace } = await fails('starvation', 'never given back', counting(lock))
    assert.match(message, /nobody can end it: cpu 1 waits for a change of lock$/m)
    assert.ok(trace.events.length < 10)
  })
  it('starves two who wait for each other', async () => {
    const { wait } = await load<{ readonly wait: (words: Int32Array, mine: number, other: number) => void }>(
      'code.wait = (w, mine, other) => { while (Atomics.load(w, other) === 0); Atomics.store(w, mine, 1) }',
    )
    const { message } = await fails('starvation', 'each other', (t) => {
      const words = new Int32Array(t.shared.buffer)
      t.cpu(0, () => wait(words, 0, 1))
      t.cpu(1, () => wait(words, 1, 0))
    })
    assert.match(message, /cpu 0 waits for a change of 0x4; cpu 1 waits for a change of 0x0/)
  })
})

describe('what a loop remembers', () => {
  it('is explored: turns that are counted, by the code or by a getter', async () => {
    const { counted, got } = await load<Record<'counted' | 'got', (words: Int32Array) => number>>(`
      code.counted = (w) => { for (let n = 0; n < 3; n++) if (Atomics.load(w, 0)) return n; return -1 }
      code.got = (words) => {
        const o = { n: 0, get words() { this.n++; return words } }
        while (Atomics.load(o.words, 0) === 0 && o.n < 3);
        return o.n
      }`)
    const results = async (body: (words: Int32Array) => number) => {
      const seen = new Set<unknown>()
      const describe = (t: Scenario) => {
        const words = new Int32Array(t.shared.buffer)
        t.cpu(0, () => mem.storeAtomic32(t.shared.i32, 0, 1))
        t.cpu(1, () => body(words))
      }
      await explore('turns', describe, { observe: ([, result]) => void seen.add(result) })
      return [...seen].sort()
    }
    assert.deepEqual(await results(counted), [-1, 0, 1, 2])
    assert.deepEqual(await results(got), [1, 2, 3])
  })
})

describe('a turn that changes memory', () => {
  it('is followed by others', async () => {
    const { count } = await load<{ readonly count: (words: Int32Array) => number }>(
      'code.count = (w) => { while (Atomics.add(w, 0, 1) < 3); while (Atomics.and(w, 0, 6) !== 4); return w[0] }',
    )
    const results: unknown[] = []
    const { blocked } = await explore(
      'counts',
      (t) => {
        const words = new Int32Array(t.shared.buffer)
        t.cpu(0, () => count(words))
      },
      { observe: ([result]) => results.push(result) },
    )
    assert.deepEqual([results, blocked], [[4], 0])
  })
})

describe('a loop that is not compiled', () => {
  const spinning = (unlocks: boolean) => (t: Scenario) => {
    const w = wordsOf(t, 1)
    t.name(w.memory, { lock: w.at(0) * 4 })
    for (const cpu of [0, 1])
      t.cpu(cpu, () => {
        while (w.cas(0, 0, 1) !== 0);
        if (unlocks) w.store(0, 0)
      })
  }
  it('fails with its place, the word that it looks at and the way to write it', async () => {
    const { message, trace, report } = await fails('limit', 'spins', spinning(true))
    assert.match(message, /cpu 1 looks at lock \d+ times, and finds nothing new/)
    assert.match(message, /mem\.awaitUntil.*The loop: .*support\.ts:\d+/)
    assert.ok(trace.events.length < 10)
    assert.ok(statSync(report ?? '').size < 100_000)
  })
  it('is starvation if nobody else can go on', async () => {
    const { message } = await fails('starvation', 'spins for ever', spinning(false))
    assert.match(message, /cpu 1 waits for a change of lock/)
  })
  it('has a small page, too, if it changes memory', async () => {
    const { report } = await fails('limit', 'counts', (t) => {
      const w = wordsOf(t, 1)
      t.cpu(0, () => {
        for (;;) w.add(0, 1)
      })
    })
    assert.ok(statSync(report ?? '').size < 100_000)
  })
})
