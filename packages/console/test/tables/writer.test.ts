/** The only one who changes tables. */
import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { boot } from 'percpu'
import { History, keyCodecs, relieve, reserve, Table, Writer } from 'percpu-console'

test('what replaces a table gets its turn, though changes come without end', async (t) => {
  const machine = boot({ memory: '4 MiB', cpus: 2 })
  t.after(() => machine.offline())
  const table = new Table(machine, { name: 'k', keys: 'text', isRange: false })
  const fail = () => assert.ok(false)
  const writer = new Writer({
    history: new History(1000),
    // As a disk: while it writes, other requests come.
    log: { append: () => new Promise((resolve) => setImmediate(resolve)) },
    logger: { error: fail, warn: fail },
    reserve: () => Promise.resolve(() => undefined),
    relieve: () => Promise.resolve(),
    onMade: () => undefined,
    onBroken: fail,
  })
  let [isRunning, changes, before] = [true, 0, -1]
  const key = keyCodecs.text.parse('a') as Uint8Array
  const client = async () => {
    while (isRunning && changes < 1000) {
      await writer.write({
        ...{ table, isAtomic: false },
        operations: [{ from: key, to: key, value: Buffer.from('1') }],
      })
      changes++
    }
  }
  // One of them always waits.
  const first = client()
  await new Promise((resolve) => process.nextTick(resolve))
  const second = client()
  await writer.exclusively(() => {
    before = changes
    return Promise.resolve()
  })
  isRunning = false
  await Promise.all([first, second])
  assert.ok(before >= 0 && before < 10, `after ${before} changes`)
})

/** A writer of a table whose memory is nearly full, and what it logs. */
function nearlyFull(t: TestContext, isRange: boolean) {
  const machine = boot({ memory: '8 MiB', cpus: 2 })
  t.after(() => machine.offline())
  const table = new Table(machine, { name: 'k', keys: isRange ? 'number' : 'text', isRange })
  const appended: number[] = []
  const broken: Error[] = []
  const writer = new Writer({
    history: new History(1000),
    log: {
      append(records) {
        appended.push(records.length)
        return Promise.resolve()
      },
    },
    logger: { error: (problem: unknown) => broken.push(problem as Error), warn: () => undefined },
    reserve: (sizes) => reserve(machine, [table], sizes),
    relieve: () => relieve(machine, [table]),
    onMade: () => undefined,
    onBroken: (error) => broken.push(error),
  })
  return { machine, table, writer, appended, broken }
}

test('what is all or nothing and has no room is refused before it is logged', async (t) => {
  const { machine, table, writer, appended, broken } = nearlyFull(t, false)
  const key = (n: number) => keyCodecs.text.parse(`key ${String(n)}`) as Uint8Array
  const change = (n: number, bytes: number) => {
    const value = Buffer.from(JSON.stringify('x'.repeat(bytes)))
    return { from: key(n), to: key(n), value }
  }
  for (let n = 0; n < 2000; n++) table.apply([{ ...change(n, 1000), version: n + 1 }])
  table.map.barrierBlocking()
  const before = [...table.rows()]
  const results: string[] = []
  // Of all sizes: some have memory for their values, and not for their nodes.
  for (let bytes = 200; bytes < 5000; bytes = Math.ceil(bytes * 1.07)) {
    const blocks: number[] = []
    // Free memory is in small pieces.
    for (let isFull = false; !isFull;)
      try {
        blocks.push(machine.heap.alloc(4096))
      } catch {
        isFull = true
      }
    for (let i = 0; i < blocks.length; i += 3) machine.heap.free(blocks[i] ?? 0)
    const logged = appended.length
    const operations = Array.from({ length: 300 }, (_, i) => change(i * 6, bytes))
    try {
      await writer.write({ table, operations, isAtomic: true })
      results.push('made')
      assert.equal(appended.length, logged + 1)
    } catch (error) {
      results.push((error as { code: string }).code)
      assert.equal(appended.length, logged, 'nothing was logged')
    }
    for (const [i, block] of blocks.entries()) if (i % 3 !== 0) machine.heap.free(block)
    table.apply(before)
    await table.map.barrier()
    assert.deepEqual(broken, [])
    table.map.verify()
  }
  assert.deepEqual([...new Set(results)].sort(), ['MEMORY_FULL', 'made'])
})

test('a request without room is refused, and not those that came with it', async (t) => {
  const { table, writer, appended, broken } = nearlyFull(t, false)
  const key = (text: string) => keyCodecs.text.parse(text) as Uint8Array
  const put = (text: string, bytes: number, isAtomic = false) =>
    writer.write({
      ...{ table, isAtomic },
      operations: [{ from: key(text), to: key(text), value: Buffer.alloc(bytes, '1') }],
    })
  for (let n = 0; n < 7; n++) await put(`large ${String(n)}`, 1_000_000)
  const made = appended.length
  const answers = await Promise.allSettled([put('a', 10), put('b', 1_000_000), put('c', 10, true)])
  assert.deepEqual(
    answers.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  )
  assert.equal(appended.length, made + 2)
  assert.deepEqual(
    ['a', 'b', 'c'].map((text) => table.get(key(text)) !== undefined),
    [true, false, true],
  )
  assert.deepEqual(broken, [])
})
