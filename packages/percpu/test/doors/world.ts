/**
 * A small machine for one operation, with the objects that rows need, made when they are asked for.
 */
import { boot, i32, join, struct, u64, array, atomic, f64, locked, published, u8, address } from 'percpu'
import { OfflineError, type BootOptions, type Machine, type MutexGuard, type Section } from 'percpu'

/** Fields of every kind and form. */
export const Sample = struct(
  'Sample',
  {
    plain: i32,
    wide: u64,
    real: f64,
    byte: u8,
    held: locked(i32, 'lock'),
    ready: published(i32),
    link: address('self'),
    bytes: array(u8, 4),
    numbers: array(i32, 4),
    cell: atomic(i32),
    cells: array(atomic(i32), 2),
    links: array(address('self'), 2),
    arrays: array(array(i32, 2), 2),
  },
  { align: 64 },
)
export const Pair = struct('Pair', { a: i32, b: i32 })

/** What every machine of a test is booted with. */
export const small: BootOptions = { memory: '1 MiB', cpus: 3, percpu: { unit: '8 KiB' } }

let another: Machine | undefined

export class World {
  readonly machine: Machine
  readonly #ends: (() => unknown)[] = []
  readonly #ending: Promise<unknown>[] = []

  constructor(options: BootOptions = {}) {
    this.machine = boot({ ...small, ...options })
  }

  /** A machine that has nothing to do with this one. It lives as long as the process. */
  get other(): Machine {
    return (another ??= boot(small))
  }
  /** Whether this thread has left the machine. */
  get isOffline(): boolean {
    try {
      return !this.machine.handle
    } catch (error) {
      if (error instanceof OfflineError) return true
      throw error
    }
  }
  /** A second CPU of this machine, of the same thread. */
  joined(): Machine {
    const asThread = { doorbell: 'waitAsync', thread: 77 } as const
    const machine = join(this.machine.handle, asThread)
    this.atEnd(() => machine[Symbol.asyncDispose]())
    return machine
  }

  /** Held until the end. */
  guard(name = 'guarded', machine = this.machine): MutexGuard {
    const guard = machine.locks.mutex(name).lock()
    this.atEnd(() => {
      guard[Symbol.dispose]()
    })
    return guard
  }
  /** Open until the end; only within one synchronous stretch. */
  section(machine = this.machine): Section {
    const section = this.guard('section', machine).begin()
    this.atEnd(() => {
      section[Symbol.dispose]()
    })
    return section
  }
  /** An object of {@link Sample} in the heap. */
  sample(machine = this.machine): ReturnType<(typeof Sample)['at']> {
    return machine.heap.cache('samples', Sample).create()
  }

  /** Last added, first done. */
  atEnd(end: () => unknown): void {
    this.#ends.push(end)
  }
  /**
   * Ends what was made, in one stretch, as a section must end in that in which it began. What the
   * machine refuses because it is offline is over anyway.
   */
  close(): void {
    for (let end = this.#ends.pop(); end; end = this.#ends.pop()) {
      try {
        const ended = end()
        if (ended instanceof Promise) this.#ending.push(ended.catch(ignore))
      } catch (error) {
        ignore(error)
      }
    }
  }
  async end(): Promise<void> {
    this.close()
    await Promise.all(this.#ending)
    await this.machine[Symbol.asyncDispose]().catch(ignore)
  }
}

/** What a test left behind is not what it is about. */
function ignore(error: unknown): unknown {
  return error
}
