/** The operations of address spaces and sparse arrays. */
import { types } from 'node:util'
import type { AddressSpace, SparseArray, SparseKind, WaitOptions } from 'percpu'
import * as kinds from '../kinds.js'
import { door, ending, free, getting, use, using, type Row, type Use } from '../row.js'
import type { World } from '../world.js'

const { flag, name, optional, whole } = kinds

const PAGE = 4096
const SPACE = 2 ** 42
const LENGTH = 2 ** 36

/** What lies there depends. */
function multiple(of: number, what: string): kinds.Kind {
  const { takes } = whole(0, SPACE)
  return { name: what, takes: (value) => takes(value) === true && Number(value) % of === 0 && 'maybe' }
}
const page = multiple(PAGE, 'address of a page')
const pages = multiple(PAGE, 'bytes of pages')
const word = multiple(4, 'address of a word')
const byte = multiple(1, 'address')
const count = multiple(1, 'number of bytes')
const int: kinds.Kind = {
  name: '32-bit word',
  takes: (value) => typeof value === 'number' && (value === value >>> 0 || value === (value | 0)),
}
const bytes: kinds.Kind = { name: 'bytes', takes: (value) => types.isUint8Array(value) && 'maybe' }
const area = { write: optional(flag), huge: optional(flag) }
const areaOptions = kinds.options(area)
const protectOptions = kinds.options({ ...area, timeout: optional(kinds.ms), signal: optional(kinds.signal) })

/** With two pages mapped, of which the first one has memory. */
function spaceOf({ machine }: World): AddressSpace {
  const space = machine.space('space')
  space.map(0, 2 * PAGE)
  space.write(0, 1)
  return space
}
const wait = optional(kinds.wait)
/** A space or an array that a call makes. */
const drop = (made: { drop: () => unknown }): unknown => made.drop()

/** As one that is left after each call. */
function dropping(make: () => AddressSpace | SparseArray): Use {
  let made = make()
  return using(
    (options: WaitOptions) => made.drop(options),
    [],
    () => (made = make()),
  )
}

const index = whole(0, LENGTH - 1, 'index')
/** One of two ends: `from` must not be behind `to`. */
const end: kinds.Kind = {
  name: 'end of a range',
  takes: (value) => whole(0, LENGTH).takes(value) === true && 'maybe',
}
const sparseKinds = ['i8', 'u8', 'i16', 'u16', 'i32', 'u32', 'f32', 'f64', 'u64'] as const
/** Without an option it is no array of anything. */
const sparseOptions: kinds.Kind = {
  name: 'options of a sparse array',
  takes: () => false,
  fields: { value: kinds.oneOf(...sparseKinds), create: kinds.create },
}

/** With a value in its first page. */
function arrayOf({ machine }: World): SparseArray<'f64'> {
  return machine.sparseArray('sparse', { value: 'f64' }).set(5, 0.5)
}
const wide: kinds.Kind = {
  name: 'bigint of 64 bits',
  takes: (value) => typeof value === 'bigint' && value >= 0n && value < 2n ** 64n,
}
const values: Readonly<Record<SparseKind, readonly [kind: kinds.Kind, valid: unknown]>> = {
  i8: [whole(-128, 127), -1],
  u8: [whole(0, 255), 1],
  i16: [whole(-(2 ** 15), 2 ** 15 - 1), -1],
  u16: [whole(0, 2 ** 16 - 1), 1],
  i32: [kinds.int32, -1],
  u32: [whole(0, 2 ** 32 - 1), 1],
  f32: [kinds.number, 0.5],
  f64: [kinds.number, 0.5],
  u64: [wide, 1n],
}
function ofKind(value: SparseKind): Row {
  const [kind, valid] = values[value]
  const make = ({ machine }: World): Use => {
    const array = machine.sparseArray(value, { value }) as SparseArray<'f64'>
    return use(array, 'set', [5, valid])
  }
  return door(`SparseArray.set of ${value}`, [whole(0, 2 ** 39 - 1, 'index'), kind], make, { isExtra: true })
}

export const pagingRows: readonly Row[] = [
  door('Machine.space', [name, optional(kinds.options({ create: kinds.create }))], (world) => {
    spaceOf(world)
    return use(world.machine, 'space', ['a space', {}])
  }),
  door('Machine.spaces', [], (world) => {
    spaceOf(world)
    return use(world.machine, 'spaces', [])
  }),
  door('Machine.sparseArray', [name, sparseOptions], (world) => {
    arrayOf(world)
    return use(world.machine, 'sparseArray', ['an array', { value: 'f64' }])
  }),

  free('AddressSpace.byteLength', [], (world) => getting(spaceOf(world), 'byteLength')),
  door('AddressSpace.map', [page, pages, optional(areaOptions)], (world) => {
    const space = spaceOf(world)
    return use(space, 'map', [8 * PAGE, PAGE, {}], () => space.unmap(4 * PAGE, SPACE - 4 * PAGE))
  }),
  door('AddressSpace.unmap', [page, pages, wait], (world) => {
    const space = spaceOf(world)
    return use(space, 'unmap', [0, 2 * PAGE], async () => {
      await space.unmap(0, SPACE)
      space.map(0, 2 * PAGE)
      space.write(0, 1)
    })
  }),
  door('AddressSpace.protect', [page, pages, optional(protectOptions)], (world) =>
    use(spaceOf(world), 'protect', [0, PAGE, { write: false }]),
  ),
  door('AddressSpace.read', [word], (world) => use(spaceOf(world), 'read', [0])),
  door('AddressSpace.write', [word, int], (world) => use(spaceOf(world), 'write', [0, 2])),
  door('AddressSpace.copyOut', [byte, count], (world) => use(spaceOf(world), 'copyOut', [5, PAGE])),
  door('AddressSpace.copyIn', [byte, bytes], (world) =>
    use(spaceOf(world), 'copyIn', [PAGE - 1, Uint8Array.of(1, 2)]),
  ),
  door('AddressSpace.populate', [page, pages], (world) => use(spaceOf(world), 'populate', [0, 2 * PAGE])),
  door('AddressSpace.pin', [byte], (world) =>
    use(spaceOf(world), 'pin', [5], (pin: Disposable) => {
      pin[Symbol.dispose]()
    }),
  ),
  ...(['unpin', '[Symbol.dispose]'] as const).map((method) =>
    ending(`Pin.${method}`, [], (world) => {
      const space = spaceOf(world)
      let pin = space.pin(0)
      return using(
        () => {
          if (method === 'unpin') pin.unpin()
          else pin[Symbol.dispose]()
        },
        [],
        () => (pin = space.pin(0)),
      )
    }),
  ),
  door('AddressSpace.fork', [optional(name), wait], (world) => use(spaceOf(world), 'fork', ['fork'], drop)),
  door('AddressSpace.drop', [wait], (world) => dropping(() => spaceOf(world))),
  door('AddressSpace.collapse', [byte, wait], (world) => use(spaceOf(world), 'collapse', [5])),
  door('AddressSpace.split', [byte], (world) => use(spaceOf(world), 'split', [5])),
  door('AddressSpace.maps', [], (world) => use(spaceOf(world), 'maps')),
  door('AddressSpace.verify', [], (world) => use(spaceOf(world), 'verify')),
  free('AddressSpace.tlb', [], (world) => getting(spaceOf(world), 'tlb')),

  door('SparseArray.get', [index], (world) => use(arrayOf(world), 'get', [5])),
  door('SparseArray.set', [index, kinds.number], (world) => use(arrayOf(world), 'set', [5, 1.5])),
  ...sparseKinds.map(ofKind),
  door('SparseArray.subarray', [end, end], (world) => use(arrayOf(world), 'subarray', [3, 8])),
  door('SparseArray.populated', [optional(end), optional(end)], (world) =>
    use(arrayOf(world), 'populated', [0, 8]),
  ),
  door('SparseArray.clear', [optional(end), optional(end), wait], (world) =>
    use(arrayOf(world), 'clear', [3, 1000]),
  ),
  door('SparseArray.snapshot', [optional(name), wait], (world) =>
    use(arrayOf(world), 'snapshot', ['snapshot'], drop),
  ),
  door('SparseArray.drop', [wait], (world) => dropping(() => arrayOf(world))),
  door('SparseArray.resident', [], (world) => getting(arrayOf(world), 'resident')),
  free('SparseArray.tlb', [], (world) => getting(arrayOf(world), 'tlb')),
]
