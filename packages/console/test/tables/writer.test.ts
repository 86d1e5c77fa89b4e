/** The only one who changes tables. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { boot } from 'percpu'
import { History, keyCodecs, Table, Writer } from 'percpu-console'

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
