/** Freeing what a word gives the right to free. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { load32, store32 } from 'percpu/mem'
import { fresh } from '../support/machines.js'
import { insideOf } from '../support/inside.js'

const { Allocator } = await import('../../dist/percpu/allocator.js')
const { makeState } = await import('../../dist/percpu/layer.js')
const { openRoot } = await import('../../dist/percpu/setup.js')
const { PercpuRoot } = await import('../../dist/percpu/layouts.js')
const { RELEASE_FROM } = await import('../../dist/percpu/operation.js')
const { tokenOf } = await import('../../dist/machine/token.js')
const { LAYER_PERCPU, LayerLock } = await import('../../dist/sync/layer-lock.js')
const { SyncMap } = await import('../../dist/sync/sync-map.js')

/** The machine's allocator, as its CPU 1 has it. */
function made() {
  const machine = fresh()
  const { memory } = machine
  const { table, objects } = insideOf(memory)
  const { geometry, tables } = openRoot({ own: { table }, objects } as never)
  const lock = new LayerLock(
    memory,
    SyncMap.open(memory, objects).layerRecord(1, LAYER_PERCPU),
    tokenOf(1, 1),
  )
  // The declarations leave out what only verifiers ask.
  const { pages } = machine.heap as unknown as { readonly pages: Parameters<typeof makeState>[4] }
  const state = makeState(table, geometry, tables, lock, pages)
  const statistics = machine.heap.memblock.alloc({ size: 64 }) / 4
  const from = machine.heap.memblock.alloc({ size: 4 }) / 4
  const allocator = new Allocator(state, statistics, () => undefined)
  return { machine, view: memory.i32, allocator, from, state }
}

describe('freeing per-CPU memory together with the word that gives the right to', () => {
  it('clears the word', () => {
    const { machine, view, allocator, from } = made()
    const pointer = machine.percpu.alloc(20)
    store32(view, from, ~pointer)
    assert.equal(allocator.free(pointer, from), 20)
    assert.equal(load32(view, from), 0)
    machine.percpu.verify()
    assert.throws(() => machine.percpu.sizeOf(pointer))
  })

  it('does nothing if the word is 0: it was freed before', () => {
    const { machine, view, allocator, from } = made()
    const pointer = machine.percpu.alloc(20)
    store32(view, from, 0)
    assert.equal(allocator.free(pointer, from), 0)
    assert.equal(machine.percpu.sizeOf(pointer), 20)
  })

  it('leaves the word alone if nothing is allocated there', () => {
    const { machine, view, allocator, from } = made()
    const pointer = machine.percpu.alloc(20)
    machine.percpu.free(pointer)
    store32(view, from, ~pointer)
    assert.throws(() => allocator.free(pointer, from))
    assert.equal(load32(view, from), ~pointer)
  })

  it('is over, when it is settled, also for a dead thread that was in the middle of it', () => {
    const { machine, view, allocator, from, state } = made()
    const pointer = machine.percpu.alloc(20)
    store32(view, from, ~pointer)
    const { words } = PercpuRoot
    // As the thread leaves it right after it has announced the operation.
    const { root } = state.tables
    store32(view, root + words.operationChunk, state.recordOf(pointer))
    store32(view, root + words.operationStart, state.geometry.granuleOf(pointer))
    store32(view, root + words.operationLength, 5)
    store32(view, root + words.operationInto, from)
    store32(view, root + words.operation, RELEASE_FROM)
    allocator.settle()
    assert.deepEqual([load32(view, from), load32(view, root + words.operation)], [0, 0])
    assert.throws(() => machine.percpu.sizeOf(pointer))
    machine.percpu.verify()
  })
})
