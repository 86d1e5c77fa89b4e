/**
 * Blocks of memory that bodies take and give back (`cpu.allocated`, `cpu.freed`). Each must be
 * given back, and must not be touched afterwards. An access that nothing orders with the free is a
 * data race already: these checks find accesses that come after it.
 */
import { ALLOCATE, CODE, FREE } from '../engine/ops.js'
import type { Shadow } from '../engine/views.js'
import type { World } from '../engine/world.js'
import type { Verdict } from './verdict.js'

/**
 * Looks through an execution; returns the first thing that is wrong. `isOver` if the execution came
 * to its end, after which no block may be taken.
 */
export function judgeBlocks(world: World, isOver: boolean): Verdict | undefined {
  const { history } = world
  const blocks = new Blocks(world)
  for (let step = 0; step < history.length; step++) {
    const code = (history.code[step] as number) & CODE
    let verdict: Verdict | undefined
    if (code === ALLOCATE) blocks.allocate(step)
    else if (code === FREE) verdict = blocks.free(step)
    else if (blocks.hasFreed) verdict = blocks.use(step)
    if (verdict !== undefined) return verdict
  }
  return isOver ? blocks.leak() : undefined
}

class Blocks {
  /**
   * The step that freed each word, and the step that took each block, by the block's first byte.
   */
  private readonly freed = new Map<Shadow, Map<number, number>>()
  private readonly taken = new Map<Shadow, Map<number, number>>()
  /** Whether a block has been freed. */
  hasFreed = false

  constructor(private readonly world: World) {}

  allocate(step: number): void {
    const { index } = this.world.history
    const shadow = this.shadow(step)
    for (const word of this.words(step)) mapOf(this.freed, shadow).delete(word)
    mapOf(this.taken, shadow).set(index[step] as number, step)
  }

  free(step: number): Verdict | undefined {
    const { index } = this.world.history
    const shadow = this.shadow(step)
    const verdict = this.use(step)
    if (verdict !== undefined) return verdict
    for (const word of this.words(step)) mapOf(this.freed, shadow).set(word, step)
    mapOf(this.taken, shadow).delete(index[step] as number)
    this.hasFreed = true
    return undefined
  }

  use(step: number): Verdict | undefined {
    const shadow = this.world.history.view[step]?.shadow
    const freed = shadow && this.freed.get(shadow)
    if (freed === undefined) return undefined
    for (const word of this.words(step)) {
      const by = freed.get(word)
      if (by === undefined) continue
      const again = ((this.world.history.code[step] as number) & CODE) === FREE
      const did = again ? 'frees a second time' : 'touches'
      return {
        kind: 'use after free',
        message: `${this.process(step)} ${did} (step ${step}) a block that ${this.process(by)} freed (step ${by})`,
      }
    }
    return undefined
  }

  leak(): Verdict | undefined {
    for (const addresses of this.taken.values())
      for (const [address, step] of addresses)
        return {
          kind: 'leak',
          message: `the block at 0x${address.toString(16)} that ${this.process(step)} allocated in step ${step} is never freed`,
        }
    return undefined
  }

  private shadow(step: number): Shadow {
    const view = this.world.history.view[step]
    if (view === undefined) throw new Error('a block without memory')
    return view.shadow
  }

  private words(step: number): number[] {
    const { word, words } = this.world.history
    return Array.from({ length: words[step] as number }, (_, i) => (word[step] as number) + i)
  }

  private process(step: number): string {
    return this.world.processes[this.world.history.process[step] as number]?.name ?? ''
  }
}

function mapOf(maps: Map<Shadow, Map<number, number>>, shadow: Shadow): Map<number, number> {
  let map = maps.get(shadow)
  if (map === undefined) maps.set(shadow, (map = new Map<number, number>()))
  return map
}
