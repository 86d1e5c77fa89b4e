/**
 * A thread for waiting.test.ts: does one thing with the words of a buffer and posts what came of
 * it.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { awaitUntil, loadAtomic32, notify32, openMemory, wait32, waitAsync32 } from 'percpu/mem'

export interface Task {
  readonly buffer: SharedArrayBuffer
  readonly action: 'wait' | 'waitAsync' | 'wake' | 'wakeOneByOne' | 'awaitUntil'
  /** For the wakers: how many to wake. */
  readonly count: number
}

const { buffer, action, count } = workerData as Task
const { i32 } = openMemory(buffer)

/**
 * Wakes waiters of word 0, at most `atOnce` at a time, until `count` woke. Gives how many each
 * successful call woke.
 */
function wake(atOnce: number): number[] {
  const woken: number[] = []
  for (let total = 0; total < count;) {
    const now = notify32(i32, 0, atOnce)
    if (now > 0) woken.push(now)
    total += now
  }
  return woken
}

async function run(): Promise<unknown> {
  switch (action) {
    case 'wait':
      return wait32(i32, 0, 0)
    case 'waitAsync': {
      // Unlike a blocked thread, one with a pending waitAsync may end; the listener keeps it.
      const listen = (): void => undefined
      parentPort?.on('message', listen)
      const result = await waitAsync32(i32, 0, 0).value
      parentPort?.off('message', listen)
      return result
    }
    case 'wake':
      return wake(Infinity).reduce((sum, each) => sum + each, 0)
    case 'wakeOneByOne':
      return wake(1)
    case 'awaitUntil':
      awaitUntil(() => loadAtomic32(i32, 0) === 5)
      return loadAtomic32(i32, 0)
  }
}

parentPort?.postMessage(await run())
