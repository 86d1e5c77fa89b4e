/**
 * Reads the object behind a pointer again and again, and counts every read that is not of one
 * living version.
 */
import { workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'
import { addAtomic32, load32, loadAtomic32, notify32 } from 'percpu/mem'

const { handle, pointer, stop, errors, reads } = workerData as {
  handle: MachineHandle
  pointer: number
  stop: number
  errors: number
  reads: number
}
const machine = join(handle)
const { i32 } = machine.memory

function section(): void {
  const word = loadAtomic32(i32, pointer / 4) / 4
  const first = load32(i32, word)
  let bad = first <= 0 ? 1 : 0
  for (let pass = 0; pass < 20; pass++)
    for (let i = 0; i < 64; i++) if (load32(i32, word + i) !== first) bad = 1
  if (bad) addAtomic32(i32, errors / 4, 1)
  if (addAtomic32(i32, reads / 4, 1) === 0) notify32(i32, reads / 4)
}

function turn(): void {
  for (let i = 0; i < 20; i++) section()
  if (loadAtomic32(i32, stop / 4) === 0) setImmediate(turn)
  else void machine.offline()
}
turn()
