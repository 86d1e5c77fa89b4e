/** As many labels as a CPU can have. Others are not kept, also not on the heap of its thread. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { boot } from 'percpu'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
function heapUsed(): number {
  collect()
  return process.memoryUsage().heapUsed
}

it('labels that differ each time do not pile up, and are told to be others', () => {
  const machine = boot({ cpus: 1 })
  let label: string | undefined
  const run = (i: number): void =>
    machine.run(`${i}`, () => {
      if (i === 99_999) label = machine.watch.inspect().cpus[0]?.work?.label
    })
  for (let i = 0; i < 1000; i++) run(i)
  const before = heapUsed()
  for (let i = 1000; i < 100_000; i++) run(i)
  const grown = heapUsed() - before
  assert.ok(grown < 2 ** 20, `grown by ${grown} bytes`)
  assert.equal(label, '(other labels)')
})

it('a CPU has 128 labels, which stay the same however often they come', () => {
  const machine = boot({ cpus: 1 })
  const labelOf = (i: number) => machine.run(`work ${i}`, () => machine.watch.inspect().cpus[0]?.work?.label)
  const labels = Array.from({ length: 128 }, (_, i) => `work ${i}`)
  for (let round = 0; round < 2; round++) {
    assert.deepEqual(
      labels.map((_, i) => labelOf(i)),
      labels,
    )
    assert.equal(labelOf(128 + round), '(other labels)')
  }
})
