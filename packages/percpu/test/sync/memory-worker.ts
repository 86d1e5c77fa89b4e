/** Writes in a section, and takes private memory until the thread is ended for it. */
import { workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'

const { handle, word } = workerData as { readonly handle: MachineHandle; readonly word: number }
const machine = join(handle)
const kept: number[][] = []
machine.locks.mutex('m').run((section) => {
  section.write32(word, 7)
  for (;;) kept.push(Array.from({ length: 10_000 }, (_, i) => i))
})
