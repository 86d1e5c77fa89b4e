/** Where objects can lie: what accessors refuse when they are made. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { aligned, boot, f64, i16, struct, u32, u8, type AnyStruct } from 'percpu'
import { createBuffer, openMemory, type Memory } from 'percpu/mem'

/** Its accessors keep a word index. */
const Wide = struct('Wide', { a: u32, b: f64 })
/** Its accessors keep a byte address. */
const Small = struct('Small', { a: u8, b: i16 })

describe('layout: accessors', () => {
  it('refuse addresses that are misaligned or outside the memory', () => {
    const memory = openMemory(createBuffer(1024))
    const Line = struct('Line', { a: u32, tail: aligned(u8, 'cacheline') })
    const addresses = new Map<AnyStruct, number[]>([
      [Line, [-128, -1, 4, 32, 64.5, 0.5, 960, 1024, 2 ** 33, NaN, Infinity]],
      [Small, [-2, 1, 2.5, 1024 - Small.size + 2, 1024, NaN, -Infinity, 2 ** 53]],
    ])
    for (const [layout, bad] of addresses) {
      for (const address of bad) {
        for (const at of [(to: number) => layout.at(memory, to), layout.bind(memory)]) {
          assert.throws(() => at(address), {
            code: 'PERCPU_ARGUMENT',
            message: new RegExp(`there is no ${layout.name}`),
          })
        }
      }
    }
    assert.equal(Line.at(memory, 1024 - Line.size).address, 1024 - Line.size)
    assert.equal(Small.at(memory, 1024 - Small.size).address, 1024 - Small.size)
    assert.throws(() => Line.at(memory, 32), {
      message: 'there is no Line at 32: it must lie at a multiple of 64 bytes',
    })
  })

  it('refuse the header page of a machine, where no object lies', () => {
    const { memory } = boot({ cpus: 1, memory: '512 KiB' })
    for (const layout of [Wide, Small] as AnyStruct[]) {
      for (const at of [(to: number) => layout.at(memory, to), layout.bind(memory)]) {
        for (const address of [0, layout.align, 4096 - layout.align]) {
          assert.throws(() => at(address), {
            code: 'PERCPU_ARGUMENT',
            message: new RegExp(
              `no ${layout.name} at ${String(address)}: the first 4096 bytes are the machine's own`,
            ),
          })
        }
        assert.equal((at(4096) as { address: number }).address, 4096)
      }
    }
    assert.throws(() => Wide.at(memory, 0), { message: /; 0 stands for no object$/ })
  })

  it('refuse what is no memory, and say what to pass', () => {
    const machine = boot({ cpus: 1, memory: '512 KiB' })
    const wrong = new Map<unknown, RegExp>([
      [machine, /not in an instance of Machine: it has one, pass its `memory`$/],
      [machine.memory.buffer, /not in an instance of SharedArrayBuffer$/],
      [new Uint8Array(8192), /not in an instance of Uint8Array$/],
      [{}, /not in an object$/],
      [undefined, /not in undefined$/],
    ])
    for (const [memory, message] of wrong) {
      for (const layout of [Wide, Small] as AnyStruct[]) {
        const uses = [() => layout.at(memory as Memory, 4096), () => layout.bind(memory as Memory)]
        for (const use of uses) assert.throws(use, { code: 'PERCPU_ARGUMENT', message })
      }
    }
  })
})
