/** The boot directory of a machine, as the layers use it; accessors as `machine.objects` has. */
import type { Accessor, Draft, Fields, Kind, Machine, Memory, Struct } from 'percpu'

// Loaded late: a test may have put another `#mem` under the library before.
const { openBootMemory } = await import('../../../dist/bootmem/layer.js')
const { CpuTable } = await import('../../../dist/cpus/cpu-table.js')
const { readMap } = await import('../../../dist/machine/memory-map.js')

type Init<S> = (object: S) => void

/** As `init` is given it. */
function draftOf<F extends Fields, K extends Kind>(type: Struct<F, K>) {
  return (type as unknown as { draft: (scope: { memory: Memory }, address: number) => Draft<Struct<F, K>> })
    .draft
}

export function bootObjects({ memory, cpu, cpus }: Machine) {
  const table = new CpuTable(memory, readMap(memory))
  const { objects } = openBootMemory(table, cpu, cpus.incarnation)
  const specOf = <F extends Fields, K extends Kind>(
    type: Struct<F, K>,
    init?: Init<Draft<Struct<F, K>>>,
  ) => ({
    type: type.name,
    layout: type,
    ...(init && { init: (address: number) => init(draftOf(type)({ memory }, address)) }),
  })
  return {
    create<F extends Fields, K extends Kind>(
      name: string,
      type: Struct<F, K>,
      init?: Init<Draft<Struct<F, K>>>,
    ): Accessor<Struct<F, K>> {
      return type.at(memory, objects.create(name, specOf(type, init)))
    },
    openOrCreate<F extends Fields, K extends Kind>(
      name: string,
      type: Struct<F, K>,
      init?: Init<Draft<Struct<F, K>>>,
    ): Accessor<Struct<F, K>> {
      return type.at(memory, objects.openOrCreate(name, specOf(type, init)))
    },
    open<F extends Fields, K extends Kind>(name: string, type: Struct<F, K>): Accessor<Struct<F, K>> {
      return type.at(memory, objects.open(name, specOf(type)))
    },
    /** Those of tests. */
    list: () => objects.list().filter(({ name }) => !name.startsWith('percpu.')),
  }
}
