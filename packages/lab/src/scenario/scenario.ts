/**
 * What is explored: the memory, the bodies of CPUs, and what may happen to them. A scenario is a function that is called once and describes
 * all of it through a {@link Scenario}; whatever it writes to memory is there at the start of each execution.
 */
import type { Accessor, Fields, Kind, Memory, Struct } from 'percpu'
import type { Cpu, Process } from '../engine/process.js'
import { Territory } from '../engine/territory.js'
import type { Handler, World } from '../engine/world.js'
import { openMemory } from '../mem/mem.js'
import {
  aFunction,
  anObject,
  checkFunction,
  checkOptions,
  numberFrom,
  oneOf,
  ScenarioError,
  text,
  wholeFrom,
} from './check.js'
import { inContext, type CpuContext, type Ipi } from './cpu-context.js'
import { Names } from './names.js'

export interface IrqSettings {
  /** How often it comes. Default 1. */
  readonly times?: number
  /** Before any step, as in a kernel, or only at safepoints and turns of the event loop, as in JavaScript. Default 'anywhere'. */
  readonly at?: 'anywhere' | 'safepoints'
  /** It interrupts code of lower levels; bodies have 0. Infinity cannot be masked. Default 1. */
  readonly level?: number
  readonly name?: string
}

export interface KillSettings {
  /** Runs, as a CPU of its own, once the CPU is dead. */
  readonly reaper?: (cpu: CpuContext) => unknown
  /** If given, the reaper may be terminated as well, and then this one's reaper runs. */
  readonly reaperKill?: KillSettings
}

const handlerOptions = { at: oneOf('anywhere', 'safepoints'), level: numberFrom(1), name: text } as const
const killOptions = { reaper: aFunction, reaperKill: anObject } as const

type Check = () => void
/** A body: may be async. Keeps its state inside, and gives what it found by returning it. */
export type Body = (cpu: CpuContext) => unknown

/** Bytes that a scenario's own memory has by default. */
const defaultBytes = 64 * 1024

export class Scenario {
  /** @internal */
  readonly names = new Names()
  /** @internal */
  readonly invariants: Check[] = []
  /** @internal */
  readonly checks: ((results: readonly unknown[]) => void)[] = []
  private used = 64
  private own: Memory | undefined

  /** @internal */
  constructor(private readonly world: World) {}

  /** The memory that {@link memory} and {@link words} take from. */
  get shared(): Memory {
    return (this.own ??= openMemory(new SharedArrayBuffer(defaultBytes)))
  }

  /** An object of `type` in shared memory, all zero, and its accessor. Failures call its words by `name` and their fields. */
  memory<F extends Fields, K extends Kind>(type: Struct<F, K>, name = ''): Accessor<Struct<F, K>> {
    checkFunction('the struct', (type as Partial<Struct<F, K>> | undefined)?.at)
    const address = this.take(type.size, Math.max(type.align, 8))
    this.names.add(this.shared, address, type, name)
    return type.at(this.shared, address)
  }

  /** `count` 32-bit words without a layout, all zero. `base` is the index of the first. */
  words(count: number): { readonly memory: Memory; readonly base: number } {
    return { memory: this.shared, base: this.take(count * 4, 8) / 4 }
  }

  /** Tells what lies at an address of any memory, for names in failures, and which words are racy. */
  name(memory: Memory, address: number, type: Struct, name = type.name): void {
    this.names.add(memory, address, type, name)
  }

  /** CPU `number` runs `body`. */
  cpu(number: number, body: Body): void {
    checkFunction(`the body of CPU ${number}`, body)
    if (this.world.cpus.some(({ main, number: taken }) => taken === number && main.kind === 'cpu'))
      throw new ScenarioError(`CPU ${number} has a body already`)
    this.world.addCpu(number, `cpu ${number}`, inContext(body), 'cpu')
  }

  /** An interrupt of CPU `number`, which must come, `times` times. */
  irq(number: number, handler: (cpu: CpuContext) => void, settings: IrqSettings = {}): void {
    checkFunction(`the handler of CPU ${number}`, handler)
    checkOptions('irq', settings, { ...handlerOptions, times: wholeFrom(0) })
    const { times = 1, at = 'anywhere', level = 1, name = 'irq' } = settings
    const cpu = this.find(number)
    const declared = declare('irq', handler, name, level, at)
    let previous: Process | undefined
    for (let i = 0; i < times; i++)
      previous = this.world.addProcess(
        'irq',
        `${name} of cpu ${number}`,
        cpu,
        declared.body,
        declared,
        previous,
      )
  }

  /** A handler that CPUs may send to each other with `cpu.ipi`. */
  ipi(handler: (cpu: CpuContext) => void, settings: Omit<IrqSettings, 'times'> = {}): Ipi {
    checkFunction('the handler', handler)
    checkOptions('ipi', settings, handlerOptions)
    const { at = 'anywhere', level = 1, name = 'ipi' } = settings
    const number = this.world.handlers.length
    this.world.handlers.push(declare('ipi', handler, name, level, at))
    return { name, number }
  }

  /** CPU `number` may be terminated before any of its steps. */
  kill(number: number, settings: KillSettings = {}): void {
    this.mayDie(this.find(number), number, `cpu ${number}`, settings)
  }

  private mayDie(cpu: Cpu, number: number, name: string, settings: KillSettings): void {
    checkOptions('kill', settings, killOptions)
    const { reaper, reaperKill } = settings
    cpu.exits = true
    this.world.addProcess('kill', `kill of ${name}`, cpu)
    if (reaper === undefined) return
    const reaperName = `reaper of ${name}`
    const reaping = this.world.addCpu(number, reaperName, inContext(reaper), 'reaper')
    this.world.reapers.set(cpu, reaping)
    if (reaperKill !== undefined) this.mayDie(reaping, number, reaperName, reaperKill)
  }

  /** Must hold after each step; throws otherwise. Reads memory directly. */
  invariant(check: Check): void {
    checkFunction('the invariant', check)
    this.invariants.push(check)
  }

  /** Must hold at the end of each execution. `results[n]` is what the body of CPU n returned, undefined if it was killed. */
  finally(check: (results: readonly unknown[]) => void): void {
    checkFunction('the check', check)
    this.checks.push(check)
  }

  private find(number: number): Cpu {
    const cpu = this.world.cpus.find(({ main, number: other }) => other === number && main.kind === 'cpu')
    if (cpu === undefined) throw new ScenarioError(`CPU ${number} has no body: call cpu(${number}, …) first`)
    return cpu
  }

  private take(bytes: number, alignment: number): number {
    const address = Math.ceil(this.used / alignment) * alignment
    if (address + bytes > this.shared.byteLength)
      throw new ScenarioError(`a scenario has ${this.shared.byteLength} bytes; ${bytes} more do not fit`)
    this.used = address + bytes
    return address
  }
}

function declare(
  kind: 'irq' | 'ipi',
  handler: (cpu: CpuContext) => void,
  name: string,
  level: number,
  at: 'anywhere' | 'safepoints',
): Handler {
  const atSafepoints = at === 'safepoints'
  const territory = new Territory(atSafepoints)
  return { body: inContext(handler), name, options: { kind, level, atSafepoints }, territory }
}
