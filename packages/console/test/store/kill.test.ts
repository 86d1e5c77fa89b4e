/**
 * A process that appends is killed, again and again: all that it acknowledged is there.
 * STORE_KILL_SECONDS sets how long; without it, each is killed twice.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Store } from '../../dist/store/store.js'
import { temporaryFolder } from '../helpers/files.js'
import { range, silent, Told } from '../helpers/store-model.js'

const seconds = Number(process.env['STORE_KILL_SECONDS'] ?? 0)
const program = fileURLToPath(new URL('../helpers/append-worker.js', import.meta.url))

/** Kills it after so many lines. Resolves with the last sequence number that it acknowledged. */
async function appendUntilKilled(t: TestContext, args: readonly string[], lines: number): Promise<number> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const exit = once(child, 'exit')
  let count = 0
  let last = 0
  for await (const line of createInterface(child.stdout)) {
    last = Number(line)
    if (++count === lines) child.kill('SIGKILL')
  }
  await exit
  assert.ok(count >= lines, 'it ended by itself')
  return last
}

test('a disk that is full refuses, and loses nothing', { skip: process.platform === 'win32' }, async (t) => {
  const directory = await temporaryFolder(t)
  // Files may have 4 KiB. Each line is what was acknowledged; the last one says why it ended.
  const script = `ulimit -f 8; exec "$0" "$@"`
  const child = spawn('sh', ['-c', script, process.execPath, program, directory, 'always', '1000000'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => child.kill('SIGKILL'))
  const lines: string[] = []
  for await (const line of createInterface(child.stdout)) lines.push(line)
  assert.equal(lines.pop(), 'PERCPU_STORE_FULL')
  const acknowledged = Number(lines.pop())
  const store = await Store.open(directory, { sync: 'always', logger: silent })
  const told = new Told()
  assert.equal(await store.recover(told), acknowledged)
  assert.deepEqual(told.sequences, range(1, acknowledged))
  assert.ok(acknowledged > 10)
  await store.close()
})

for (const sync of ['always', 'interval'])
  test(`what a killed process acknowledged is there: ${sync}`, async (t) => {
    const directory = await temporaryFolder(t)
    const end = Date.now() + (seconds * 1000) / 2
    for (let round = 0; round < 2 || Date.now() < end; round++) {
      const acknowledged = await appendUntilKilled(t, [directory, sync], 10 + ((round * 37) % 150))
      const store = await Store.open(directory, { sync: 'always', logger: silent })
      const told = new Told()
      const last = await store.recover(told)
      // One append may have been under way.
      assert.ok(last >= acknowledged && last <= acknowledged + 5, `${last} of ${acknowledged}`)
      assert.deepEqual(told.sequences, range(1, last))
      await store.close()
    }
  })
