/**
 * A worker that joins a machine and does what the test tells it to, one command at a time.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type DoorbellMode, type Machine, type MachineHandle } from 'percpu'
import { addAtomic32, awaitUntil, loadAtomic32, notify32, storeAtomic32 } from 'percpu/mem'

export interface ActorData {
  readonly handle: MachineHandle
  readonly doorbell?: DoorbellMode
  /** Commands run before the first message, in order. */
  readonly first?: readonly Command[]
  readonly joins?: boolean
}
export type Command =
  | { readonly do: 'identify' }
  | { readonly do: 'offline' }
  | { readonly do: 'throw' }
  | { readonly do: 'exit' }
  | { readonly do: 'register'; readonly name: string; readonly adds: number }
  | { readonly do: 'register-throwing'; readonly name: string }
  | { readonly do: 'register-endless'; readonly name: string; readonly tells: number }
  | { readonly do: 'count-rings'; readonly reason: number; readonly word: number }
  | {
      readonly do: 'spin'
      readonly until: number
      readonly tells: number
      readonly polls: boolean
      readonly deaf: boolean
    }
  | { readonly do: 'park'; readonly word: number; readonly tells: number }
  | { readonly do: 'alloc'; readonly size: number; readonly keep: boolean }
  | { readonly do: 'create'; readonly name: string }

export interface Identity {
  readonly cpu: number
  readonly incarnation: number
  readonly node: number
}

const data = workerData as ActorData
let machine: Machine

function run(command: Command): unknown {
  const { memory } = machine
  switch (command.do) {
    case 'identify':
      return {
        cpu: machine.cpu,
        incarnation: machine.cpus.incarnation,
        node: machine.cpus.node,
      } satisfies Identity
    case 'offline':
      return machine.offline()
    case 'throw':
      throw new Error('thrown on request')
    case 'exit':
      return process.exit(3)
    case 'register':
      machine.cpus.registerFunction(command.name, (argument) =>
        addAtomic32(memory.i32, command.adds / 4, argument),
      )
      return undefined
    case 'register-throwing':
      process.on('uncaughtException', () => undefined)
      machine.cpus.registerFunction(command.name, () => {
        throw new Error('a called function threw')
      })
      return undefined
    case 'register-endless':
      machine.cpus.registerFunction(command.name, () => {
        storeAtomic32(memory.i32, command.tells / 4, 1)
        notify32(memory.i32, command.tells / 4)
        awaitUntil(() => false)
      })
      return undefined
    case 'count-rings':
      machine.cpus.onRing(command.reason, () => {
        addAtomic32(memory.i32, command.word / 4, 1)
        notify32(memory.i32, command.word / 4)
      })
      return undefined
    case 'spin': {
      const spin = () => {
        storeAtomic32(memory.i32, command.tells / 4, 1)
        notify32(memory.i32, command.tells / 4)
        awaitUntil(() => {
          if (command.polls) machine.poll()
          return loadAtomic32(memory.i32, command.until / 4) !== 0
        })
      }
      if (command.deaf) machine.cpus.deaf(spin)
      else spin()
      return undefined
    }
    case 'park':
      storeAtomic32(memory.i32, command.tells / 4, 1)
      notify32(memory.i32, command.tells / 4)
      while (loadAtomic32(memory.i32, command.word / 4) === 0) machine.cpus.park(command.word, 0)
      return undefined
    case 'alloc': {
      const address = machine.heap.memblock.alloc({ size: command.size, label: 'by actor' })
      if (command.keep) machine.heap.memblock.persist(address)
      return address
    }
    case 'create':
      return machine.objects.create(command.name, Cell).address
  }
}

const { Cell } = await import('./cell.js')
const port = parentPort
if (!port) throw new Error('runs as a worker only')
if (data.joins !== false) machine = join(data.handle, data.doorbell ? { doorbell: data.doorbell } : {})
for (const command of data.first ?? []) await run(command)
port.on('message', ({ id, command }: { id: number; command: Command }) => {
  Promise.resolve()
    .then(() => run(command))
    .then(
      (value) => port.postMessage({ id, value }),
      (error: unknown) => {
        if (command.do === 'throw') queueMicrotask(() => rethrow(error))
        else port.postMessage({ id, error: (error as { code?: string }).code ?? String(error) })
      },
    )
})
port.postMessage({ id: 0, value: 'ready' })

function rethrow(error: unknown): never {
  throw error
}
