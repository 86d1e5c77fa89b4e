/**
 * Random scenarios, and what identifies an execution: the searches of the engine are compared with
 * each other over them.
 */
import type { CpuContext, Ipi, Scenario } from '../../dist/index.js'
import { mem } from '../../dist/index.js'
import type { World } from '../../dist/engine/world.js'
import { generator } from '../../dist/search/random.js'

/** What programs may contain beside atomic accesses. */
export type Feature = 'wait' | 'timeout' | 'kill' | 'irq' | 'ipi' | 'mask' | 'spin' | 'choose'

interface Step {
  readonly kind: number
  readonly word: number
  readonly value: number
}

interface Program {
  readonly words: number
  readonly features: ReadonlySet<Feature>
  readonly bodies: readonly (readonly Step[])[]
  readonly irqs: readonly { readonly cpu: number; readonly steps: readonly Step[]; readonly times: number }[]
  /** What each handler of IPIs does. */
  readonly ipis: readonly (readonly Step[])[]
  readonly kills: readonly { readonly cpu: number; readonly steps: readonly Step[] }[]
}

/** The scenario of a seed; `text` tells what it does. */
export function randomScenario(
  seed: number,
  features: readonly Feature[],
): { readonly describe: (t: Scenario) => void; readonly text: string } {
  const program = randomProgram(generator(seed), new Set(features))
  const { features: set, ...shown } = program
  return { describe: (t) => put(t, program), text: JSON.stringify({ features: [...set], ...shown }) }
}

function randomProgram(random: (below: number) => number, features: ReadonlySet<Feature>): Program {
  const words = 2 + random(2)
  const cpus = 2 + random(2)
  const steps = (count: number, kinds: number): Step[] =>
    Array.from({ length: count }, () => ({ kind: random(kinds), word: random(words), value: random(3) }))
  const kinds = features.size > 0 ? 8 : 5
  const bodies = Array.from({ length: cpus }, () => steps(1 + random(cpus === 2 ? 4 : 3), kinds))
  const times = (feature: Feature, most: number) => (features.has(feature) ? 1 + random(most) : 0)
  const irqs = Array.from({ length: times('irq', 2) }, () => ({
    cpu: random(cpus),
    steps: steps(1 + random(2), 5),
    times: 1 + random(2),
  }))
  const kills = Array.from({ length: times('kill', 1) }, () => ({
    cpu: random(cpus),
    steps: steps(1 + random(2), 5),
  }))
  const ipis = Array.from({ length: times('ipi', 1) }, () => steps(1 + random(2), 5))
  return { words, features, bodies, irqs, kills, ipis }
}

function put(t: Scenario, program: Program): void {
  const { memory, base } = t.words(4)
  const handlers: Ipi[] = []
  const run = (steps: readonly Step[]) => (cpu: CpuContext) => {
    const words = new Words(memory.i32, base, program, handlers)
    for (const step of steps) words.take(step, cpu)
    return words.seen
  }
  for (const steps of program.ipis) handlers.push(t.ipi(run(steps)))
  program.bodies.forEach((steps, cpu) => t.cpu(cpu, run(steps)))
  for (const { cpu, steps, times } of program.irqs) t.irq(cpu, run(steps), { times })
  for (const { cpu, steps } of program.kills) t.kill(cpu, { reaper: run(steps) })
}

class Words {
  /** A digest of all that was read. */
  seen = 0
  constructor(
    private readonly view: mem.I32View,
    private readonly base: number,
    private readonly program: Program,
    private readonly handlers: readonly Ipi[],
  ) {}

  take({ kind, word, value }: Step, cpu: CpuContext): void {
    const { view } = this
    const index = this.base + word
    switch (kind) {
      case 0:
      case 1:
        return this.see(mem.loadAtomic32(view, index))
      case 2:
        return mem.storeAtomic32(view, index, value)
      case 3:
        return this.see(mem.addAtomic32(view, index, 1))
      case 4:
        if (mem.loadAtomic32(view, index) === value)
          mem.storeAtomic32(view, this.base + ((word + 1) % this.program.words), value + 1)
        return
      default:
        this.takeOther(kind, index, value, cpu)
    }
  }

  private takeOther(kind: number, index: number, value: number, cpu: CpuContext): void {
    const { view } = this
    const { features } = this.program
    if (kind === 5 && features.has('wait'))
      this.see(mem.wait32(view, index, 0, features.has('timeout') && value > 0 ? 5 : Infinity).length)
    else if (kind === 6 && features.has('wait')) mem.notify32(view, index, value === 0 ? 1 : undefined)
    else if (kind === 5 && features.has('ipi')) this.send(value, cpu)
    else if (kind !== 7) return
    else if (features.has('mask')) mask(cpu, value > 0)
    else if (features.has('choose')) this.see(cpu.choose(2))
    else if (features.has('spin')) mem.awaitUntil(() => mem.loadAtomic32(view, index) !== 0)
  }

  private send(value: number, cpu: CpuContext): void {
    const [handler] = this.handlers
    if (handler === undefined) return
    const target = (cpu.number + 1) % this.program.bodies.length
    if (value === 0) cpu.ipi(target, handler)
    else cpu.ipiAndWait(target, handler)
  }

  private see(value: number): void {
    this.seen = (this.seen * 3 + value) | 0
  }
}

function mask(cpu: CpuContext, on: boolean): void {
  if (on) cpu.mask()
  else cpu.unmask()
}

/** The same text for two executions that differ only in the order of independent steps. */
export function classOf(world: World): string {
  const { history } = world
  const ran = world.processes
    .filter(({ sequence }) => sequence > 0)
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.id - b.id))
  const rows = new Map(ran.map(({ id, name, state }) => [id, `${name} ${state}:`]))
  for (let step = 0; step < history.length; step++) {
    const clock = ran.map(({ id }) => history.dependence[step * 32 + id] as number)
    const result = history.result[step]
    const shown = typeof result === 'object' ? 'object' : JSON.stringify(result)
    const process = history.process[step] as number
    const what = [history.code[step], history.index[step], history.outcome[step], shown, ...clock]
    rows.set(process, `${rows.get(process) ?? ''} [${what.join()}]`)
  }
  return [...rows.values()].join('\n')
}
