/** Where `exit` comes before a thread's last write, nobody is supervised. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, it } from 'node:test'

/** Runs a program with a busy worker that has joined; gives what it prints, as JSON. */
function run(before: string, then: string): unknown {
  const program = `
    import { once } from 'node:events'
    import { Worker } from 'node:worker_threads'
    ${before}
    const { boot } = await import(${JSON.stringify(import.meta.resolve('percpu'))})
    const machine = boot({ cpus: 2, memory: '1 MiB' })
    const source = \`
      const { parentPort, workerData } = require('node:worker_threads')
      import(\${JSON.stringify(${JSON.stringify(import.meta.resolve('percpu'))})}).then(({ join }) => {
        parentPort.postMessage(join(workerData).cpu)
        for (;;);
      })\`
    const worker = new Worker(source, { eval: true, execArgv: [], workerData: machine.handle })
    const attempt = () => {
      try {
        return { reaped: machine.supervise(worker).reaped }
      } catch ({ code, message }) {
        return { code, message, listeners: worker.listenerCount('exit') }
      }
    }
    ${then}`
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    encoding: 'utf8',
  })
  assert.equal(status, 0, stderr)
  return JSON.parse(stdout)
}

const deno = "globalThis.Deno = { version: { deno: '2.9.6' } }"
/** Terminates the worker, and prints the attempt and who is there afterwards. */
const terminated = `
  const found = attempt()
  await once(worker, 'message')
  await worker.terminate()
  await found.reaped
  console.log(JSON.stringify({ ...found, reaped: await found.reaped, online: machine.online }))
  process.exit()`

describe('supervise in Deno', () => {
  it('is refused with the reason, and reaps nobody', () => {
    for (const [before, then] of [
      [deno, terminated],
      ['', `${deno}\n${terminated}`],
    ] as const) {
      const found = run(before, then) as {
        code: string
        message: string
        listeners: number
        online: number[]
      }
      assert.equal(found.code, 'PERCPU_UNSUPPORTED')
      assert.match(found.message, /^supervise is refused in Deno: .* its thread may still run/)
      assert.deepEqual([found.listeners, found.online], [0, [0, 1]])
    }
  })

  it('is not refused elsewhere', () => {
    assert.deepEqual(run('', terminated), { reaped: [1], online: [0] })
  })
})
