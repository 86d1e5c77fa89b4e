/** What the machine needs of its host. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { threadId, Worker } from 'node:worker_threads'

const { hasThreadId, keyOfThreadId, nextTurn, parentKey, reportError, startTimer, threadKey } =
  await import('../../dist/machine/platform.js')
const { decodeText, encodeText } = await import('../../dist/text.js')

type Name = 'queueMicrotask' | 'setImmediate' | 'setTimeout' | 'clearTimeout'

/** Runs `action` with another function in the place of one of the host. */
function withHost<Result>(name: Name, replacement: unknown, action: () => Result): Result {
  const original = globalThis[name]
  Object.assign(globalThis, { [name]: replacement })
  try {
    return action()
  } finally {
    Object.assign(globalThis, { [name]: original })
  }
}

describe('the key of a thread', () => {
  it('follows from its id, and a worker knows that of its starter', async () => {
    assert.deepEqual([hasThreadId, threadKey, parentKey], [true, keyOfThreadId(threadId), 0])
    const url = JSON.stringify(new URL('../../dist/machine/platform.js', import.meta.url).href)
    const code = `import(${url}).then((platform) =>
      require('node:worker_threads').parentPort.postMessage([platform.threadKey, platform.parentKey]))`
    const worker = new Worker(code, { eval: true })
    const id = worker.threadId
    const keys = await new Promise((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
    })
    assert.deepEqual(keys, [keyOfThreadId(id), threadKey])
    assert.notEqual(id, threadId)
  })
})

describe('the next turn', () => {
  it('comes after all jobs, and after what was to come before', async () => {
    const order: string[] = []
    setImmediate(() => order.push('immediate'))
    const turn = nextTurn().then(() => order.push('turn'))
    void Promise.resolve().then(() => order.push('job'))
    await turn
    assert.deepEqual(order, ['job', 'immediate', 'turn'])
  })

  it('comes by a timer where there is nothing else', async () => {
    const timeouts: unknown[] = []
    const { setTimeout } = globalThis
    const turn = withHost('setImmediate', undefined, () =>
      withHost(
        'setTimeout',
        (callback: () => void, ms: number) => {
          timeouts.push(ms)
          return setTimeout(callback, ms)
        },
        nextTurn,
      ),
    )
    await turn
    assert.deepEqual(timeouts, [0])
  })
})

describe('an error of a callback', () => {
  it('is thrown in a job of its own', () => {
    const jobs: (() => void)[] = []
    const error = new Error('of a user')
    withHost(
      'queueMicrotask',
      (job: () => void) => jobs.push(job),
      () => reportError(error),
    )
    const [job, ...others] = jobs
    assert.ok(job)
    assert.deepEqual(others, [])
    assert.throws(job, error)
  })
})

describe('a timer', () => {
  it('is stopped by what it returns, and never begun if it were to last too long', () => {
    const begun: number[] = []
    const stopped: unknown[] = []
    const begin = (ms: number): (() => void) =>
      withHost(
        'setTimeout',
        (_: () => void, time: number) => {
          begun.push(time)
          return time
        },
        () => startTimer(() => undefined, ms),
      )
    const stops = [5, 2 ** 31 - 1, 2 ** 31, Infinity, NaN].map(begin)
    withHost(
      'clearTimeout',
      (timer: unknown) => stopped.push(timer),
      () => stops.forEach((stop) => stop()),
    )
    assert.deepEqual(begun, [5, 2 ** 31 - 1])
    assert.deepEqual(stopped, begun)
  })
})

describe('text', () => {
  it('comes back from UTF-8 as it was, a byte order mark included', () => {
    for (const text of ['', 'plain', 'ä€𝄞', '\ufeffmarked']) assert.equal(decodeText(encodeText(text)), text)
    assert.deepEqual([...encodeText('ä')], [0xc3, 0xa4])
    assert.equal(decodeText(new Uint8Array([0x41, 0xff])), 'A\ufffd')
  })
})
