/**
 * Which asynchronous task is running, as far as the host knows: for the debug mode of SRCU.
 *
 * Hosts with `AsyncLocalStorage` pass a *frame* on from each task to what it awaits and starts. A
 * frame names a section that was begun there, and the frames around it. A function that begins a
 * section has its caller see the frame, too, when it awaits. So a frame proves that a task is
 * inside a section only where the section is around a call, as with `protect`. When no task can
 * see a frame any more, it is collected.
 *
 * Other hosts have one task without frames.
 */
import { host } from '../machine/platform.js'

/** What of a section is needed here. */
export interface Framed {
  readonly isOpen: boolean
}
interface Frame<Section> {
  readonly section: Section
  readonly outer: Frame<Section> | undefined
}
interface Storage {
  getStore(): unknown
  run<Result>(store: unknown, work: () => Result): Result
  enterWith(store: unknown): void
}
interface AsyncHooks {
  readonly AsyncLocalStorage?: new () => Storage
}

export class Tasks<Section extends Framed> {
  readonly #storage = makeStorage()
  /** Hears of frames that are gone. */
  readonly #registry: FinalizationRegistry<Section>

  /** `ended`: is told of sections whose tasks have all ended. Some may be over by then. */
  constructor(ended: (section: Section) => void) {
    this.#registry = new FinalizationRegistry(ended)
  }

  /** Whether the host knows tasks. */
  get areKnown(): boolean {
    return this.#storage !== undefined
  }

  /** The sections under way around this point, the innermost first. */
  sections(): readonly Section[] {
    const found: Section[] = []
    for (let frame = this.#frame(); frame; frame = frame.outer)
      if (frame.section.isOpen) found.push(frame.section)
    return found
  }

  /** From here on this task is inside the section. */
  enter(section: Section): void {
    if (!this.#storage) return
    const frame = { section, outer: this.#openFrame() }
    this.#registry.register(frame, section)
    this.#storage.enterWith(frame)
  }
  /** A section has ended: sections that are over are not remembered here. */
  left(): void {
    if (this.#storage && this.#frame()?.section.isOpen === false) this.#storage.enterWith(this.#openFrame())
  }

  /** Runs `work` inside the section. */
  run<Result>(section: Section, work: () => Result): Result {
    if (!this.#storage) return work()
    return this.#storage.run({ section, outer: this.#openFrame() }, work)
  }

  #openFrame(): Frame<Section> | undefined {
    let frame = this.#frame()
    while (frame && !frame.section.isOpen) frame = frame.outer
    return frame
  }
  #frame(): Frame<Section> | undefined {
    return this.#storage?.getStore() as Frame<Section> | undefined
  }
}

function makeStorage(): Storage | undefined {
  const hooks = host.process?.getBuiltinModule?.('node:async_hooks') as AsyncHooks | undefined
  return hooks?.AsyncLocalStorage && new hooks.AsyncLocalStorage()
}
