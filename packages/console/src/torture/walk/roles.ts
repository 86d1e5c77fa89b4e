/** What the threads of a run do, a step each time. */
import { FaultError, PinnedError, type AddressSpace, type Machine } from 'percpu'
import { loadU32 } from 'percpu/mem'
import type { Random } from '../random.js'
import {
  addressOf,
  blockOf,
  COMMON,
  DEAF,
  HOT,
  MAPPERS,
  MAPPED,
  MAPPING,
  PAGES,
  PINNED,
  UNMAPPED,
  UNMAPPING,
  valueOf,
  type BoardView,
} from './board.js'
import { copyAndCheck, judge, readAndCheck } from './check.js'

export interface Scene {
  readonly machine: Machine
  /** Of each mapper. */
  readonly spaces: readonly AddressSpace[]
  readonly board: BoardView
  readonly random: Random
}
/** Pages of the common space. */
const ALL = COMMON * PAGES
const BURST = 200
/** In no page of a mapper. */
const NO_VALUE = valueOf(MAPPERS * PAGES, 0)

/** Reads on a thread that answers its bell. */
export function read({ spaces, board, random }: Scene): void {
  const space = spaceOf(spaces, 0)
  for (let i = 0; i < BURST; i++) readAndCheck(board, space, random.below(ALL), random.below(1024))
  board.count('reads', BURST)
}
/** Reads on a deaf one: the walks are counted. */
export function readDeaf({ machine, spaces, board, random }: Scene): void {
  // One that is common makes others wait; so most of the time it reads where it is alone.
  const isCommon = random.oneIn(8)
  const space = spaceOf(spaces, isCommon ? 0 : DEAF)
  const pick = (): number => (isCommon ? random.below(ALL) : DEAF * PAGES + random.below(HOT))
  machine.cpus.deaf(() => {
    for (let i = 0; i < BURST; i++) {
      if (i % 8 !== 0) copyAndCheck(board, space, pick())
      else readAndCheck(board, space, pick(), random.below(1024))
    }
  })
  board.count('deafReads', BURST)
}

/** Pins a page, and looks whether it stays what it is while its mapper changes things. */
export async function pin({ machine, spaces, board, random }: Scene): Promise<void> {
  const space = spaceOf(spaces, PINNED)
  const page = PINNED * PAGES + random.below(HOT)
  try {
    using pinned = space.pin(addressOf(page))
    board.count('pins')
    for (let turn = 0; turn < 2; turn++) {
      for (let i = 0; i < BURST; i++) {
        const before = board.state(page)
        const found = loadU32(machine.memory.u32, pinned.address / 4 + random.below(1024))
        // It may be of any version, but not of another page, and it is never given up.
        if ((before & 3) === MAPPED && before === board.state(page)) {
          const failure = judge(page, found, before, before)
          if (failure !== undefined) board.fail(failure)
        } else if (found === 0xffffffff) board.fail('poison')
      }
      board.count('pinReads', BURST)
      await new Promise((resolve) => setImmediate(resolve))
    }
  } catch (error) {
    if (!(error instanceof FaultError)) throw error
  }
}

/** Maps, writes and unmaps its own pages, and changes the tables around them. */
export class Mapper {
  readonly #scene: Scene & { readonly space: AddressSpace }
  readonly #mapper: number
  readonly #first: number

  constructor(scene: Scene, mapper: number) {
    this.#scene = { ...scene, space: spaceOf(scene.spaces, mapper) }
    this.#mapper = mapper
    this.#first = mapper * PAGES
  }

  /**
   * What a mapper has left that was terminated: its pages are unmapped, whatever they are. A change
   * that it had begun is the same change still: words of the version before are there until then.
   */
  async begin(): Promise<void> {
    const { space, board } = this.#scene
    for (let page = this.#first; page < this.#first + PAGES; page++) {
      const state = board.state(page)
      const phase = state & 3
      const isUnderWay = phase === MAPPING || phase === UNMAPPING
      board.setState(page, (state >>> 2) + (isUnderWay ? 0 : 1), UNMAPPING)
    }
    const { address, bytes } = blockOf(this.#mapper)
    await this.#patiently(() => space.unmap(address, bytes))
    for (let page = this.#first; page < this.#first + PAGES; page++)
      board.setState(page, board.state(page) >>> 2, UNMAPPED)
  }

  async step(): Promise<void> {
    const { random } = this.#scene
    const isHot = this.#mapper >= COMMON
    const choice = random.below(isHot ? 62 : 100)
    const page = this.#first + random.below(isHot ? HOT : PAGES)
    if (choice < 60) await this.#change(page)
    else if (choice < 72) await this.#collapse()
    else if (choice < 82) this.#split()
    else if (choice < 94) await this.#fork()
    else await this.#protect(page)
  }

  async #change(page: number): Promise<void> {
    const { space, board, random } = this.#scene
    const state = board.state(page)
    const version = state >>> 2
    const address = addressOf(page)
    if ((state & 3) === UNMAPPED) {
      board.setState(page, version + 1, MAPPING)
      space.map(address, 4096)
      this.#fill(page, version + 1)
      board.setState(page, version + 1, MAPPED)
      board.count('maps')
    } else if (random.oneIn(2)) {
      board.setState(page, version + 1, MAPPING)
      const write = (): void => this.#fill(page, version + 1)
      if (random.oneIn(3)) this.#scene.machine.cpus.deaf(write)
      else write()
      board.setState(page, version + 1, MAPPED)
      board.count('writes')
    } else {
      board.setState(page, version + 1, UNMAPPING)
      await this.#patiently(() => space.unmap(address, 4096))
      board.setState(page, version + 1, UNMAPPED)
      board.count('unmaps')
    }
  }
  #fill(page: number, version: number): void {
    const { space } = this.#scene
    const address = addressOf(page)
    const value = valueOf(page, version)
    for (let word = 0; word < 1024; word++) space.write(address + word * 4, value)
  }

  /** A whole block of the mapper's: its pages are mapped and filled, then it is one huge leaf. */
  async #collapse(): Promise<void> {
    const { space, board } = this.#scene
    const { address, bytes } = blockOf(this.#mapper)
    await this.begin()
    for (let page = this.#first; page < this.#first + PAGES; page++)
      board.setState(page, (board.state(page) >>> 2) + 1, MAPPING)
    space.map(address, bytes)
    for (let page = this.#first; page < this.#first + PAGES; page++) {
      this.#fill(page, board.state(page) >>> 2)
      board.setState(page, board.state(page) >>> 2, MAPPED)
    }
    space.populate(address, bytes)
    try {
      if (await space.collapse(address)) board.count('collapses')
    } catch (error) {
      if (!(error instanceof PinnedError)) throw error
      board.count('refused')
    }
    for (let page = this.#first; page < this.#first + PAGES; page++) readAndCheck(board, space, page, 1)
  }
  #split(): void {
    const { space, board } = this.#scene
    if (space.split(blockOf(this.#mapper).address)) board.count('splits')
  }

  /** The mapper's own pages do not change meanwhile: the fork has just what they have. */
  async #fork(): Promise<void> {
    const { space, board, random } = this.#scene
    let fork: AddressSpace
    try {
      fork = await space.fork()
    } catch (error) {
      if (!(error instanceof PinnedError)) throw error
      board.count('refused')
      return
    }
    board.count('forks')
    // What is written now is not in the fork.
    const states = Array.from({ length: PAGES }, (_, i) => board.state(this.#first + i))
    for (let i = 0; i < 3; i++) await this.#change(this.#first + random.below(PAGES))
    for (const [i, state] of states.entries()) {
      const page = this.#first + i
      const found = read1(fork, addressOf(page) + random.below(1024) * 4)
      const failure = judge(page, found, state, state)
      if (failure !== undefined) board.fail(failure === 'stale' ? 'torn-fork' : failure)
    }
    board.count('forkReads', PAGES)
    for (const [i, state] of states.entries())
      if ((state & 3) === MAPPED) this.#spoil(fork, addressOf(this.#first + i))
    await fork.drop()
  }
  /** Writes to a page of a fork what no page of the space may ever have. */
  #spoil(fork: AddressSpace, address: number): void {
    for (let word = 0; word < 1024; word++) fork.write(address + word * 4, NO_VALUE)
    const found = read1(fork, address + this.#scene.random.below(1024) * 4)
    if (found !== NO_VALUE) this.#scene.board.fail('corrupt')
    this.#scene.board.count('forkWrites')
  }

  async #protect(page: number): Promise<void> {
    const { space, board } = this.#scene
    if ((board.state(page) & 3) !== MAPPED) return
    const address = addressOf(page)
    await this.#patiently(() => space.protect(address, 4096, { write: false }))
    try {
      space.write(address, 1)
      board.fail('corrupt')
    } catch (error) {
      if (!(error instanceof FaultError)) throw error
    }
    await this.#patiently(() => space.protect(address, 4096, { write: true }))
    board.count('protects')
  }

  /** Again while a page is pinned. */
  async #patiently(work: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        await work()
        return
      } catch (error) {
        if (!(error instanceof PinnedError)) throw error
        this.#scene.board.count('refused')
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
    }
  }
}
function spaceOf(spaces: readonly AddressSpace[], mapper: number): AddressSpace {
  const space = spaces[mapper]
  if (space === undefined) throw new RangeError(`there is no mapper ${mapper}`)
  return space
}
function read1(space: AddressSpace, address: number): number | 'fault' | 'error' {
  try {
    return space.read(address)
  } catch (error) {
    return error instanceof FaultError ? 'fault' : 'error'
  }
}
