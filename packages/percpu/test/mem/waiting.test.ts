import assert from 'node:assert/strict'
import { once } from 'node:events'
import test from 'node:test'
import { Worker } from 'node:worker_threads'
import {
  awaitUntil,
  canWaitAsync,
  createBuffer,
  notify32,
  openMemory,
  storeAtomic32,
  wait32,
  waitAsync32,
} from 'percpu/mem'
import type { Task } from './support/wait-worker.js'

/** Runs one task in a thread of its own; resolves with what it posts. */
async function inThread(buffer: SharedArrayBuffer, action: Task['action'], count = 0): Promise<unknown> {
  const task: Task = { buffer, action, count }
  const worker = new Worker(new URL('./support/wait-worker.js', import.meta.url), { workerData: task })
  const [[result]] = (await Promise.all([once(worker, 'message'), once(worker, 'exit')])) as [
    [unknown],
    unknown,
  ]
  return result
}

/** Keeps Node alive until `waiting` ends; a pending waitAsync does not. */
async function alive<Result>(waiting: Result | Promise<Result>): Promise<Result> {
  const timer = setInterval(() => undefined, 2 ** 30)
  try {
    return await waiting
  } finally {
    clearInterval(timer)
  }
}

for (const action of ['wait', 'waitAsync'] as const) {
  test(`${action}32 in one thread ends by notify32 in another`, async () => {
    const buffer = createBuffer(64)
    assert.deepEqual(await Promise.all([inThread(buffer, action), inThread(buffer, 'wake', 1)]), ['ok', 1])
  })
}

test('notify32 wakes as many as it is told to, and says how many', async () => {
  const buffer = createBuffer(64)
  const threads = [
    inThread(buffer, 'wait'),
    inThread(buffer, 'waitAsync'),
    inThread(buffer, 'wakeOneByOne', 2),
  ]
  assert.deepEqual(await Promise.all(threads), ['ok', 'ok', [1, 1]])
})

test('awaitUntil tries as often as it is told to, and says whether the predicate held', () => {
  const after = (needed: number, tries: number): readonly [boolean, number] => {
    let tried = 0
    return [awaitUntil(() => ++tried >= needed, tries), tried]
  }
  assert.deepEqual(after(1, 1), [true, 1])
  assert.deepEqual(after(3, 3), [true, 3])
  assert.deepEqual(after(3, 100), [true, 3])
  assert.deepEqual(after(4, 3), [false, 3])
  assert.deepEqual(after(1, 0), [false, 0])
})

test('awaitUntil ends when another thread makes its predicate true', async () => {
  const buffer = createBuffer(64)
  const waiting = inThread(buffer, 'awaitUntil')
  storeAtomic32(openMemory(buffer).i32, 0, 5)
  assert.equal(await waiting, 5)
})

test('waiting for a value that the word does not hold ends at once', () => {
  const { i32 } = openMemory(createBuffer(64))
  assert.equal(wait32(i32, 1, 3), 'not-equal')
  assert.deepEqual(waitAsync32(i32, 1, 3), { async: false, value: 'not-equal' })
})

test('waiting ends when its time is over', async () => {
  const { i32 } = openMemory(createBuffer(64))
  assert.equal(wait32(i32, 1, 0, 1), 'timed-out')
  assert.deepEqual(waitAsync32(i32, 1, 0, 0), { async: false, value: 'timed-out' })
  assert.equal(await alive(waitAsync32(i32, 1, 0, 1).value), 'timed-out')
})

test('waitAsync32 does not block, and ends by notify32 in the same thread', async () => {
  const { i32 } = openMemory(createBuffer(64))
  const waiting = waitAsync32(i32, 2, 0)
  assert.equal(waiting.async, true)
  assert.equal(notify32(i32, 3), 0, 'nobody waits on word 3')
  assert.equal(notify32(i32, 2), 1)
  assert.equal(await alive(waiting.value), 'ok')
})

test('canWaitAsync tells what this engine can do', () => {
  assert.equal(canWaitAsync, true, 'every supported Node has Atomics.waitAsync')
})
