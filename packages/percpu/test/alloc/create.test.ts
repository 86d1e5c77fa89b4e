/** Objects of a cache as accessors. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { address, array, atomic, boot, locked, struct, u32, u8, type Draft, DoubleFreeError } from 'percpu'
import { storeU8 } from 'percpu/mem'
import { throwsCode } from '../support/codes.js'
import { verify } from './support/verify.js'

const Route = struct('Route', { key: u32, hits: atomic(u32), name: array(u8, 20) })

describe('create', () => {
  it('gives the accessor of a new object, filled by init', () => {
    const machine = boot({ memory: '2 MiB' })
    const routes = machine.heap.cache('route', Route)
    let seen = 0
    const route = routes.create((made) => {
      seen = made.address
      made.key = 7
      made.hits.store(1)
    })
    assert.deepEqual(route.toObject(), { key: 7, hits: 1, name: new Array(20).fill(0) })
    assert.equal(route.address, seen)
    assert.notEqual(routes.create().address, route.address)
    assert.equal(routes.struct, Route)
    assert.deepEqual(
      machine.heap.allocations().map(({ cache, persistent }) => [cache, persistent]),
      [
        ['route', false],
        ['route', false],
      ],
    )
    routes.persist(route.address)
    routes.free(route.address)
    throwsCode(() => routes.free(route.address), 'PERCPU_DOUBLE_FREE')
  })

  it('clears what an object of before has left, also in debug mode', () => {
    for (const debugHeap of [false, true]) {
      const machine = boot({ memory: '2 MiB', debugHeap })
      const routes = machine.heap.cache('route', Route)
      for (let turn = 0; turn < 200; turn++) {
        const { address } = routes.create((route) => {
          assert.deepEqual(route.toObject(), { key: 0, hits: 0, name: new Array(20).fill(0) })
        })
        for (let at = 0; at < Route.size; at++) storeU8(machine.memory.bytes, address + at, 0xff)
        routes.free(address)
      }
      assert.deepEqual(verify(machine).faults, [])
    }
  })

  it('gives init a draft: locked fields can be set, until init returns', () => {
    const Node = struct('Node', { next: locked(address('self'), 'list'), value: locked(u32, 'list') })
    const machine = boot({ memory: '2 MiB' })
    const nodes = machine.heap.cache('node', Node)
    const first = nodes.create((node) => (node.value = 1))
    let draft: Draft<typeof Node> | undefined
    const second = nodes.create((node) => {
      draft = node
      node.value = 2
      node.next = first.address
    })
    assert.equal(second.value, 2)
    assert.equal(second.follow.next?.value, 1)
    throwsCode(() => draft?.value, 'PERCPU_DRAFT')
    throwsCode(() => nodes.create(() => Promise.resolve() as never), 'PERCPU_ARGUMENT', /synchronous/)
    assert.equal(machine.heap.allocations().length, 2)
  })

  it('frees the object when init throws', () => {
    const machine = boot({ memory: '2 MiB' })
    const routes = machine.heap.cache('route', Route)
    const error = new Error('no')
    for (let turn = 0; turn < 200; turn++) {
      assert.throws(
        () =>
          routes.create(({ address }) => {
            if (turn % 2 === 0) routes.persist(address)
            throw error
          }),
        (thrown) => thrown === error,
      )
    }
    assert.deepEqual(machine.heap.allocations(), [])
    assert.deepEqual(verify(machine).faults, [])
    throwsCode(() => routes.create(5 as never), 'PERCPU_ARGUMENT', /init: 5 is not a function/)
  })

  it('says so when the object cannot be freed after that either', () => {
    const machine = boot({ memory: '2 MiB' })
    const routes = machine.heap.cache('route', Route)
    const failing = (): never => {
      throw new Error('no')
    }
    assert.throws(
      () =>
        routes.create(({ address }) => {
          routes.free(address)
          failing()
        }),
      (error) => error instanceof DoubleFreeError && (error.cause as Error).message === 'no',
    )
  })

  it('throws when there is no room', () => {
    const machine = boot({ memory: '512 KiB', cpus: 2 })
    const routes = machine.heap.cache('route', Route)
    throwsCode(() => {
      for (;;) routes.create()
    }, 'PERCPU_OUT_OF_MEMORY')
    assert.deepEqual(verify(machine).faults, [])
  })
})
