/** A thread of a run. */
import { setImmediate as turn } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import type { MachineHandle } from 'percpu'
import { joinWhenFree } from '../join-when-free.js'
import { Random } from '../random.js'
import { BoardView, SPACES } from './board.js'
import { Mapper, pin, read, readDeaf, type Scene } from './roles.js'

export type WalkRole = 'reader' | 'deaf' | 'pinner' | 'mapper'
export interface WalkAssignment {
  readonly handle: MachineHandle
  readonly role: WalkRole
  /** Of a mapper: which pages are its own. */
  readonly number: number
  readonly seed: number
  readonly owner: number
}

if (!parentPort) throw new TypeError('this module runs as a worker thread')
const { handle, role, number, seed, owner } = workerData as WalkAssignment

const machine = await joinWhenFree(handle)
const board = new BoardView(machine)
const spaces = SPACES.map((name) => machine.space(name))
const scene: Scene = { machine, board, spaces, random: new Random(seed, owner) }
const mapper = new Mapper(scene, number)
const steps: Readonly<Record<WalkRole, () => unknown>> = {
  reader: () => read(scene),
  deaf: () => readDeaf(scene),
  pinner: () => pin(scene),
  mapper: () => mapper.step(),
}
if (role === 'mapper') await mapper.begin()
board.count('threads')
while (!board.isStopped) {
  await steps[role]()
  await turn()
}
await machine.offline()
process.exit()
