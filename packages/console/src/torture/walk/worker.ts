/** A thread of a run. */
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { join, type Machine, type MachineHandle } from 'percpu'
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

/** Its number may still be that of a thread which is being cleaned up after. */
async function joinWhenFree(): Promise<Machine> {
  for (let tries = 0; ; tries++) {
    try {
      return join(handle)
    } catch (error) {
      const isFull = error instanceof Error && 'code' in error && error.code === 'PERCPU_NO_FREE_CPU'
      if (!isFull || tries === 1000) throw error
      await sleep(2)
    }
  }
}

const machine = await joinWhenFree()
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
