/** Names with characters that nobody sees, or that break lines, in what is printed of them. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { i32, struct } from 'percpu'
import { throwsCode } from '../support/codes.js'
import { fresh } from '../support/machines.js'

const NAME = 'a\0b\nc\u001b[31md\u202ee'
const SHOWN = String.raw`a\u0000b\nc\u001b[31md\u202ee`

const Cell = struct('Cell', { value: i32 })

function assertVisible(text: string): void {
  assert.ok(text.includes(SHOWN), text)
  for (const unseen of ['\0', '\n', '\u001b', '\u202e']) assert.ok(!text.includes(unseen), text)
}

/** The message of what `run` throws, or rejects with. */
async function messageOf(run: () => unknown): Promise<string> {
  try {
    await run()
  } catch (error) {
    return (error as Error).message
  }
  return assert.fail('nothing was thrown')
}

describe('a name with odd characters', () => {
  it('is written as in JSON in messages', async () => {
    const machine = fresh()
    const { objects, locks, percpu } = machine
    const mutex = locks.mutex(NAME)
    const ref = percpu.ref(NAME)
    await ref.kill()
    const domain = machine.srcu(NAME)
    const messages = await Promise.all(
      [
        () => objects.remove(NAME),
        () => mutex.unlock(),
        () => locks.completion(NAME).wait({ timeout: 0 }),
        () => locks.semaphore(NAME, 1).acquire(2),
        () => ref.get(),
        () => percpu.i32({ name: NAME }).free(),
        () => domain.readUnlock(2),
        () => machine.heap.cache(NAME, Cell).free(8),
        () => {
          const cache = machine.heap.cache(NAME, Cell)
          const { address } = cache.create()
          cache.free(address)
          cache.free(address)
        },
      ].map(messageOf),
    )
    for (const message of messages) assertVisible(message)
  })
  it('is written so in what is told of a grace period that does not end', async () => {
    const machine = fresh({ stallTimeout: 20 })
    const section = machine.srcu(NAME, { flavour: 'normal' }).section()
    const told = new Promise<string>((resolve) => machine.on('stall', ({ text }) => resolve(text)))
    const waiting = machine.srcu(NAME).synchronize()
    assertVisible(await told)
    section.end()
    await waiting
  })
  it('is no name of a struct', () => {
    for (const name of [NAME, 'a\u001b[31mb', 'a\u202eb', 'a b', ''])
      throwsCode(() => struct(name, { value: i32 }), 'PERCPU_LAYOUT', /visible characters/)
  })
})
