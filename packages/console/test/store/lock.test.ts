/** A store's directory is of one living process. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { StoreBusyError } from '../../dist/errors.js'
import { takeLock } from '../../dist/store/lock.js'
import { temporaryFolder } from '../helpers/files.js'

const isBusy = (error: unknown) => error instanceof StoreBusyError

/** A process that tries to take the directory when told so, and prints whether it did. */
async function taker(t: TestContext, directory: string) {
  const program = `import { takeLock } from ${JSON.stringify(import.meta.resolve('../../dist/store/lock.js'))}
    process.stdin.once('data', async () => {
      const outcome = await takeLock(${JSON.stringify(directory)}).then(() => 'taken', (error) => error.code)
      process.stdout.write(outcome)
    })
    process.stdout.write('ready')`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.after(() => child.kill('SIGKILL'))
  const said = async () => String(((await once(child.stdout, 'data')) as [Buffer])[0])
  assert.equal(await said(), 'ready')
  return {
    child,
    take: () => {
      child.stdin.write('go\n')
      return said()
    },
  }
}

test('of many that try at once one gets it, also after its owner was killed', async (t) => {
  const directory = await temporaryFolder(t)
  const takers = await Promise.all([taker(t, directory), taker(t, directory)])
  const outcomes = await Promise.all(takers.map(({ take }) => take()))
  assert.deepEqual(outcomes.toSorted(), ['PERCPU_STORE_BUSY', 'taken'])
  await assert.rejects(takeLock(directory), isBusy)
  const owner = takers[outcomes.indexOf('taken')]
  owner?.child.kill('SIGKILL')
  await once(owner?.child ?? assert.fail(), 'exit')
  const attempts = await Promise.allSettled(Array.from({ length: 8 }, () => takeLock(directory)))
  const taken = attempts.filter((attempt) => attempt.status === 'fulfilled')
  assert.equal(taken.length, 1)
  assert.ok(attempts.every((attempt) => attempt.status === 'fulfilled' || isBusy(attempt.reason)))
  taken[0]?.value()
})

test('it is taken again and again, and leaves two names at most', async (t) => {
  const directory = await temporaryFolder(t)
  for (let i = 0; i < 5; i++) {
    const release = await takeLock(directory)
    await assert.rejects(takeLock(directory), isBusy)
    release()
  }
  assert.deepEqual((await readdir(directory)).sort(), ['lock-4', 'lock-5'])
})

test(
  'a directory whose path is longer than that of a socket',
  { skip: process.platform !== 'linux' },
  async (t) => {
    const directory = join(await temporaryFolder(t), 'x'.repeat(100))
    await mkdir(directory)
    const release = await takeLock(directory)
    await assert.rejects(takeLock(directory), isBusy)
    release()
    ;(await takeLock(directory))()
    assert.deepEqual((await readdir(directory)).sort(), ['lock-1', 'lock-2'])
  },
)

test('a directory that is not there', async (t) => {
  await assert.rejects(takeLock(join(await temporaryFolder(t), 'none')), { code: 'PERCPU_FILE' })
})
