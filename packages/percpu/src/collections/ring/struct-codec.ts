/**
 * Structs as messages: a sender fills one, a receiver gets a plain copy. Both happen in private
 * memory, so that no message is half-filled in the ring, and its lock is not held meanwhile.
 */
import * as mem from '#mem'
import type { Memory } from '#mem'
import { roundUp } from '../../arithmetic.js'
import type { Draft } from '../../layout/accessor-types.js'
import { fillDraft } from '../../layout/draft.js'
import { checkFixed } from '../../layout/flexible.js'
import { readStruct } from '../../layout/read.js'
import type { AnyStruct } from '../../layout/struct-type.js'
import { checkFunction } from '../../machine/check.js'
import type { Scratch } from '../scratch.js'
import type { ValueCodec } from '../values.js'

type Fill = (draft: Draft<AnyStruct>) => void

/** @throws ArgumentError for a struct whose objects differ in size. */
export function structCodec(struct: AnyStruct): ValueCodec<unknown> {
  checkFixed(struct)
  const { size } = struct
  const address = Math.max(64, struct.align)
  const makeMemory = (): Memory => mem.openMemory(mem.createBuffer(roundUp(address + size, 8)))
  const usual = makeMemory()
  let isBusy = false
  const fill = (memory: Memory, init: Fill, into: Scratch): void => {
    mem.fillBytes(memory, address, size, 0)
    fillDraft(struct, memory, address, init)
    into.reserve(size)
    into.bytes.set(mem.copyOut(memory, address, size))
    into.end(size)
  }
  return {
    encode: (init, into) => {
      checkFunction('message', init)
      // What fills one may send another one.
      if (isBusy) {
        fill(makeMemory(), init as Fill, into)
        return
      }
      isBusy = true
      try {
        fill(usual, init as Fill, into)
      } finally {
        isBusy = false
      }
    },
    decode: ({ bytes }): unknown => {
      const memory = isBusy ? makeMemory() : usual
      mem.copyIn(memory, address, bytes.subarray(0, size))
      return readStruct(memory, struct, address)
    },
  }
}
