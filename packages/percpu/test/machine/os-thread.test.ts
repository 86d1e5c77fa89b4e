/** What the operating system says of threads. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'

const { osThreadState, ownOsThread, tellsOfThreads } = await import('../../dist/machine/os-thread.js')
const isLinux = process.platform === 'linux'
const url = JSON.stringify(new URL('../../dist/machine/os-thread.js', import.meta.url).href)

/** A worker that tells its number, and then does what `code` says. */
async function started(code: string): Promise<{ readonly worker: Worker; readonly id: number }> {
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads')
     import(${url}).then(({ ownOsThread }) => { parentPort.postMessage(ownOsThread()); ${code} })`,
    { eval: true },
  )
  const id = await new Promise<number>((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
  return { worker, id }
}
/** A busy machine may take its time until the thread is there. */
async function comesTo(id: number, state: string): Promise<void> {
  for (let i = 0; osThreadState(id) !== state && i < 1000; i++) await setTimeout(5)
  assert.equal(osThreadState(id), state)
}

describe('a system whose threads cannot be looked at', () => {
  it('tells of none', async () => {
    const worker = new Worker(
      `const { parentPort } = require('node:worker_threads')
       const fail = () => { throw new Error('no such file') }
       process.getBuiltinModule = () => ({ readlinkSync: fail, readFileSync: fail, existsSync: () => false })
       import(${url}).then(({ ownOsThread, osThreadState, tellsOfThreads }) =>
         parentPort.postMessage([ownOsThread(), tellsOfThreads, osThreadState(5)]))`,
      { eval: true },
    )
    const told = await new Promise((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
    })
    assert.deepEqual(told, [0, false, undefined])
  })
})

describe('a thread of this process', { skip: !isLinux }, () => {
  it('that asks runs, and has a number of its own', async () => {
    assert.equal(tellsOfThreads, true)
    assert.equal(ownOsThread(), process.pid)
    assert.equal(osThreadState(ownOsThread()), 'running')
    const { worker, id } = await started('for (;;);')
    assert.notEqual(id, process.pid)
    await worker.terminate()
  })

  it('waits for a word, sleeps in its event loop, or has ended', async () => {
    const waiting = await started('Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)')
    await comesTo(waiting.id, 'waiting')
    const asleep = await started('setInterval(() => undefined, 100_000)')
    await comesTo(asleep.id, 'asleep')
    await Promise.all([waiting.worker.terminate(), asleep.worker.terminate()])
    await comesTo(waiting.id, 'gone')
    await comesTo(asleep.id, 'gone')
  })

  it('is not told of without a number', () => {
    assert.equal(osThreadState(0), undefined)
  })
})
