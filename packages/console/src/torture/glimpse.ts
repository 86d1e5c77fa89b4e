/** What a reader finds in one section, and whether it stays as it is until the end of it. */
import { load32, type Memory } from 'percpu/mem'
import { Body, Element, PIPE_LENGTH } from './layout.js'
import type { Pool } from './pool.js'
import type { Task } from './task.js'

const { words } = Element

export class Glimpse {
  readonly #memory: Memory
  readonly #pool: Pool
  readonly element: number
  readonly stamp: number

  /** In a section. */
  constructor(task: Pick<Task, 'memory' | 'pool'>, element = task.pool.current, stamp?: number) {
    this.#memory = task.memory
    this.#pool = task.pool
    this.element = element
    this.stamp = stamp ?? load32(task.memory.i32, task.pool.at(element) + words.stamp)
  }

  /**
   * In the same section. Counts how many grace periods have ended since the element was replaced,
   * and returns what is wrong, if anything.
   */
  end(
    pipes: number[],
  ): { readonly failure: 'memory-error' | 'short-grace-period'; text: string } | undefined {
    const { i32 } = this.#memory
    const at = this.#pool.at(this.element)
    const text = this.#fault()
    const pipe = load32(i32, at + words.pipe)
    const step = Math.min(Math.max(pipe, 0), PIPE_LENGTH)
    pipes[step] = (pipes[step] ?? 0) + 1
    if (pipe > 1 || pipe < 0)
      return {
        failure: 'short-grace-period',
        text: `a reader still had element ${this.element} when ${pipe - 1} grace periods had ended since it was replaced`,
      }
    return text === undefined ? undefined : { failure: 'memory-error', text }
  }

  #fault(): string | undefined {
    const { i32 } = this.#memory
    const { element, stamp } = this
    const at = this.#pool.at(element)
    if (load32(i32, at + words.mbtest) !== 1) return `element ${element} was free inside a section`
    if (load32(i32, at + words.stamp) !== stamp) return `element ${element} was used again inside a section`
    const body = load32(i32, at + words.body) * 2
    for (let i = 0; i < Body.size / 4; i++) {
      const found = load32(i32, body + i)
      if (found === stamp) continue
      return `word ${i} of the body of element ${element} was ${found}, not ${stamp}, inside a section`
    }
    return undefined
  }
}
