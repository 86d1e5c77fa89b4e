/**
 * A scenario: the memory, the bodies of CPUs, and what may happen to them.
 *
 * It is a function, called once, that describes all of it through a {@link Scenario}. The values
 * that it writes to memory are there at the start of each execution.
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
  checkMemory,
  checkOptions,
  checkWhole,
  flag,
  numberFrom,
  oneOf,
  ScenarioError,
  text,
  wholeFrom,
} from '../check.js'
import { inContext, type CpuContext, type Ipi } from './cpu-context.js'
import type { LinearizabilityOptions } from '../linearizability/linearizable.js'
import type { Specification } from '../linearizability/specification.js'
import { CallHistory } from './call-history.js'
import { Names } from './names.js'

export interface IrqSettings {
  /** The number of times that it comes. Default 1. */
  readonly times?: number
  /**
   * 'anywhere': before any step, as in a kernel. 'safepoints': only at safepoints and at turns of
   * the event loop, as in JavaScript. Default 'anywhere'.
   */
  readonly at?: 'anywhere' | 'safepoints'
  /**
   * A number from 1 on. The handler interrupts code of lower levels; bodies have level 0. Infinity
   * cannot be masked. Default 1.
   */
  readonly level?: number
  readonly name?: string
}

export interface CpuSettings {
  /**
   * True: the thread does not end with its body, and answers what comes to its event loop. The
   * execution ends when nothing comes any more.
   */
  readonly stays?: boolean
}

export interface FilterSettings {
  /**
   * True: the filter is also asked about executions that cannot end, so that these can be left out
   * too. Then `ended` is false, and bodies that have not ended have given undefined.
   */
  readonly unended?: boolean
}

export interface KillSettings {
  /** Runs as a CPU of its own, once the CPU is dead. */
  readonly reaper?: (cpu: CpuContext) => unknown
  /** If given, the reaper may be terminated as well. The `reaper` given here runs after that. */
  readonly reaperKill?: KillSettings
}

const handlerOptions = { at: oneOf('anywhere', 'safepoints'), level: numberFrom(1), name: text } as const
const killOptions = { reaper: aFunction, reaperKill: anObject } as const

/** Byte addresses by the names of what begins there. */
export type WordNames = Readonly<Record<string, number>>

type Check = () => void
/** Whether an execution counts. */
export type Counts = (results: readonly unknown[], ended: boolean) => boolean
/**
 * The body of a CPU: it may be async. It keeps its state inside, and gives its findings by
 * returning them.
 */
export type Body = (cpu: CpuContext) => unknown

/** Bytes of a scenario's own memory. */
const defaultBytes = 64 * 1024

export class Scenario {
  /** @internal */
  readonly names = new Names()
  /** @internal */
  readonly invariants: (() => unknown)[] = []
  /** @internal */
  readonly checks: ((results: readonly unknown[]) => unknown)[] = []
  /** @internal */
  readonly histories: CallHistory[] = []
  /** @internal */
  readonly filters: { readonly counts: Counts; readonly unended: boolean }[] = []
  /** @internal Bodies and checks that come later would not be explored. */
  isDescribed = false
  private used = 64
  private own: Memory | undefined

  /** @internal */
  constructor(private readonly world: World) {}

  /** The scenario's own memory, of 64 KiB. {@link memory} and {@link words} take from it. */
  get shared(): Memory {
    return (this.own ??= openMemory(new SharedArrayBuffer(defaultBytes)))
  }
  /** @internal The bytes of {@link shared}, if it was asked for. */
  contents(): Uint8Array | undefined {
    return this.own && new Uint8Array(this.own.buffer)
  }

  /**
   * Makes an object of `type` in shared memory, all zero; returns its accessor. Failures call its
   * words by `name` and their fields.
   *
   * @throws ScenarioError if the rest of the memory is too small, or `type` is no struct
   */
  memory<F extends Fields, K extends Kind>(type: Struct<F, K>, name = ''): Accessor<Struct<F, K>> {
    checkFunction('the struct', (type as Partial<Struct<F, K>> | undefined)?.at)
    const address = this.take(type.size, Math.max(type.align, 8))
    this.names.add(this.shared, address, type, name)
    return type.at(this.shared, address)
  }

  /**
   * Takes `count` words of 32 bits, without a layout, all zero. `base` is the index of the first.
   *
   * @param count whole, from 0 on
   * @throws ScenarioError if the rest of the memory is too small, or `count` is none
   */
  words(count: number): { readonly memory: Memory; readonly base: number } {
    checkWhole('words: the count', count)
    return { memory: this.shared, base: this.take(count * 4, 8) / 4 }
  }

  /**
   * Names words that have no layout: `t.name(buffer, { flag: 0, data: 4 })`. The numbers are byte
   * addresses in the buffer, or in that of a view or a memory.
   *
   * @throws ScenarioError if there is no shared buffer, or an address is not within it
   */
  name(buffer: SharedArrayBuffer | { readonly buffer: ArrayBufferLike }, words: WordNames): void
  /**
   * Says that an object of `type` lies at byte `address` of a memory. Failures use its names, and
   * racy words may race.
   *
   * @throws ScenarioError for a memory, an address or a type that is none
   */
  name(memory: Memory, address: number, type: Struct, name?: string): void
  name(
    place: Memory | SharedArrayBuffer | { readonly buffer: ArrayBufferLike },
    at: number | WordNames,
    type?: Struct,
    name = type?.name ?? '',
  ): void {
    if (typeof at !== 'number') nameWords(this.names, place, at)
    else {
      checkFunction('the struct', (type as Partial<Struct> | undefined)?.at)
      checkMemory('name', place)
      checkWhole('name: the address', at)
      this.names.add(place as Memory, at, type as Struct, name)
    }
  }

  /**
   * Lets CPU `number` run `body`.
   *
   * @param number whole, from 0 on: results have its place
   * @throws ScenarioError if the CPU has a body already, `number` is none, `body` is no function,
   *   or for options that cannot be
   * @throws RangeError if there are 30 processes already: CPUs, interrupts, kills, time limits
   */
  cpu(number: number, body: Body, settings: CpuSettings = {}): void {
    this.checkIsOpen('cpu')
    checkWhole('cpu: the number', number)
    checkFunction(`the body of CPU ${number}`, body)
    checkOptions('cpu', settings, { stays: flag })
    if (this.world.cpus.some(({ main, number: taken }) => taken === number && main.kind === 'cpu'))
      throw new ScenarioError(`CPU ${number} has a body already`)
    this.world.addCpu(number, `cpu ${number}`, inContext(body), 'cpu').stays = settings.stays === true
  }

  /**
   * An interrupt of CPU `number`. It comes `times` times in each execution.
   *
   * @throws ScenarioError if the CPU has no body, or for options that cannot be
   * @throws RangeError if there are 30 processes already: CPUs, interrupts, kills, time limits
   */
  irq(number: number, handler: (cpu: CpuContext) => void, settings: IrqSettings = {}): void {
    this.checkIsOpen('irq')
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

  /**
   * Makes a handler that CPUs may send to each other with `cpu.ipi`.
   *
   * @throws ScenarioError if `handler` is no function, or for options that cannot be
   */
  ipi(handler: (cpu: CpuContext) => void, settings: Omit<IrqSettings, 'times'> = {}): Ipi {
    this.checkIsOpen('ipi')
    checkFunction('the handler', handler)
    checkOptions('ipi', settings, handlerOptions)
    const { at = 'anywhere', level = 1, name = 'ipi' } = settings
    const number = this.world.handlers.length
    this.world.handlers.push(declare('ipi', handler, name, level, at))
    return { name, number }
  }

  /**
   * Lets CPU `number` be terminated before any of its steps, or not.
   *
   * @throws ScenarioError if the CPU has no body, or for options that cannot be
   * @throws RangeError if there are 30 processes already: CPUs, interrupts, kills, time limits
   */
  kill(number: number, settings: KillSettings = {}): void {
    this.checkIsOpen('kill')
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

  /**
   * Adds a check that runs after each step, and throws if something is wrong. It reads memory
   * directly.
   *
   * @throws ScenarioError if `check` is no function
   */
  invariant(check: Check): void {
    this.checkIsOpen('invariant')
    checkFunction('the invariant', check)
    this.invariants.push(check)
  }

  /**
   * Adds a check that runs at the end of each execution, and throws if something is wrong.
   * `results[n]` is what the body of CPU n returned; undefined if it was killed.
   *
   * @throws ScenarioError if `check` is no function
   */
  finally(check: (results: readonly unknown[]) => void): void {
    this.checkIsOpen('finally')
    checkFunction('the check', check)
    this.checks.push(check)
  }

  /**
   * Calls that are recorded: `history.call('set', [key, value], () => map.set(key, value))`. At the
   * end of each execution they must be linearizable: each must have taken effect at some moment
   * between its beginning and its end, as the specification says. It is a plain class with the
   * same methods.
   *
   * @throws ScenarioError for a specification or options that cannot be
   */
  history(specification: Specification, options: LinearizabilityOptions = {}): CallHistory {
    this.checkIsOpen('history')
    const history = new CallHistory(specification, options)
    this.histories.push(history)
    return history
  }

  /**
   * Only executions that end with `counts` true are looked at: in others, neither data races nor
   * blocks in use are failures, and the checks of {@link finally} do not run. `results` is as
   * there. An execution in which a body throws fails all the same, and so does one that cannot end,
   * unless `settings` say otherwise.
   *
   * @throws ScenarioError if `counts` is no function, or for options that cannot be
   */
  filter(counts: Counts, settings: FilterSettings = {}): void {
    this.checkIsOpen('filter')
    checkFunction('the filter', counts)
    checkOptions('filter', settings, { unended: flag })
    this.filters.push({ counts, unended: settings.unended === true })
    this.world.defersRaces = true
  }

  private checkIsOpen(what: string): void {
    if (this.isDescribed)
      throw new ScenarioError(`${what}() comes too late: a scenario is described before its function returns`)
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

function nameWords(names: Names, place: object, words: WordNames): void {
  const buffer = place instanceof SharedArrayBuffer ? place : (place as { buffer?: unknown }).buffer
  if (!(buffer instanceof SharedArrayBuffer))
    throw new ScenarioError('name: names are for words of a SharedArrayBuffer, or of a view of one')
  for (const [name, address] of Object.entries(words)) {
    if (!Number.isInteger(address) || address < 0 || address >= buffer.byteLength)
      throw new ScenarioError(`name: ${name} is a byte address below ${buffer.byteLength}, not ${address}`)
    names.addWord(buffer, address, name)
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
