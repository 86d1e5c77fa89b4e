/**
 * Where this layer's shared words are: one named object, made at boot, with a CpuWatch for each
 * CPU.
 */
import type { LayerContext } from '../bootmem/layer.js'
import type { PlacedStruct } from '../machine/placed-struct.js'
import { CpuWatch, vpaStructs } from './vpa-layout.js'

const NAME = 'percpu.watch'
const type = 'WatchRoot'

export class WatchMap {
  readonly #address: number

  private constructor(address: number) {
    this.#address = address
  }

  /** At boot. */
  static create({ own, objects }: LayerContext): WatchMap {
    return new WatchMap(objects.create(NAME, { type, layout: layoutFor(own.map.cpus) }))
  }

  static open({ own, objects }: LayerContext): WatchMap {
    return new WatchMap(objects.open(NAME, { type, layout: layoutFor(own.map.cpus) }))
  }

  /** Word index of the CpuWatch of `cpu`. */
  record(cpu: number): number {
    return (this.#address + cpu * CpuWatch.stride) / 4
  }

  structs(cpus: number): PlacedStruct[] {
    return Array.from({ length: cpus }, (_, cpu) => ({
      name: `cpu[${cpu}].watch`,
      address: this.record(cpu) * 4,
      struct: CpuWatch,
    }))
  }
}

/** Its hash is that of everything which threads share through this layer. */
function layoutFor(cpus: number): { name: string; size: number; align: number; hash: number } {
  const { stride, align } = CpuWatch
  const hash = vpaStructs.reduce((sum, { hash }) => Math.imul(sum ^ hash, 0x01000193) >>> 0, cpus)
  return { name: type, size: cpus * stride, align, hash }
}
