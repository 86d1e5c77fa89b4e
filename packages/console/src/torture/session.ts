/** How a thread becomes part of a torture run, and what it does there. */
import { performance } from 'node:perf_hooks'
import type { Machine, MachineHandle } from 'percpu'
import { READING_TASKS, readAcrossAwaits } from './async-reader.js'
import { pretendToWrite } from './fake-writer.js'
import { rcuFlavour, srcuFlavour, type Flavour } from './flavour.js'
import { State, STATE_NAME } from './layout.js'
import type { FlavourName } from './options.js'
import { Pool } from './pool.js'
import type { Random } from './random.js'
import { readSynchronously } from './reader.js'
import { standIn } from './stand-in.js'
import { Tally } from './tally.js'
import { Session, type Task } from './task.js'
import { handOver } from './up-down.js'
import { write } from './writer.js'

/** `visitor`: a thread that reads a little and ends. */
export type Role = 'reader' | 'writer' | 'fake' | 'updown' | 'visitor'

/** What a thread is told. */
export interface Assignment {
  readonly handle: MachineHandle
  readonly flavour: FlavourName
  readonly role: Role
  readonly slot: number
  readonly owner: number
  readonly seed: number
  readonly onoff: boolean
}

export interface Joined {
  readonly machine: Machine
  readonly random: Random
  /** Milliseconds until the thread takes its CPU offline. */
  readonly lasting: number
  readonly tell: (text: string) => void
}

/** `machine`: of this thread. The State exists. */
export function openSession(
  { flavour: name, slot, owner }: Pick<Assignment, 'flavour' | 'slot' | 'owner'>,
  { machine, random, lasting, tell }: Joined,
): Session {
  const state = machine.objects.open(STATE_NAME, State).address / 4
  const tally = new Tally(machine.memory, state)
  const pool = new Pool(machine, state, tally)
  const until = performance.now() + lasting
  const flavour = openFlavour(name, machine, { state, slot, tally, tell, random })
  return new Session({ machine, flavour, pool, tally, random, state, slot, owner, until, tell })
}

interface FlavourParts extends Pick<Session, 'state' | 'slot' | 'tally' | 'random'> {
  readonly tell: (text: string) => void
}

function openFlavour(name: FlavourName, machine: Machine, parts: FlavourParts): Flavour {
  const { state, slot, tally, tell, random } = parts
  switch (name) {
    case 'rcu':
      return rcuFlavour(machine)
    case 'srcu':
    case 'srcu-normal':
    case 'tiny':
      return srcuFlavour(openDomain(machine, name), name === 'tiny')
    default:
      return standIn(name, {
        ...{ memory: machine.memory, state, slot, random },
        torn: () => tally.add('torn'),
        fail: (failure, text) => {
          tally.fail(failure)
          tell(`${failure}: ${text}`)
        },
      })
  }
}

export function openDomain(
  machine: Machine,
  name: 'srcu' | 'srcu-normal' | 'tiny',
): ReturnType<Machine['srcu']> {
  return machine.srcu('torture-domain', { flavour: name === 'srcu-normal' ? 'normal' : 'fast' })
}

/** What a thread of this role does at once. */
export function tasksOf(role: Role, { mayAwait }: Flavour): ((task: Task) => Promise<void>)[] {
  switch (role) {
    case 'reader':
    case 'visitor':
      return mayAwait ? Array.from({ length: READING_TASKS }, () => readAcrossAwaits) : [readSynchronously]
    case 'writer':
      return [write]
    case 'fake':
      return [pretendToWrite]
    case 'updown':
      return [handOver]
  }
}
