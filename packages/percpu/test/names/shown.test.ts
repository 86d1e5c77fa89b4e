/** Names with characters that nobody sees, or that break lines, in what is printed of them. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fresh } from '../support/machines.js'

const NAME = 'a\0b\nc\u001b[31md\u202ee'
const SHOWN = String.raw`a\u0000b\nc\u001b[31md\u202ee`

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
      ].map(messageOf),
    )
    for (const message of messages) {
      assert.ok(message.includes(SHOWN), message)
      for (const unseen of ['\0', '\n', '\u001b', '\u202e']) assert.ok(!message.includes(unseen), message)
    }
  })
})
