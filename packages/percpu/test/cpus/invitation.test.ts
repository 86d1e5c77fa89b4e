/**
 * Invitations: here with Node's workers, and with browsers' locks on one thread, where each order
 * is seen. `npm run runtimes` kills real workers of Deno and Chromium.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boot, joinInvited, type Invitation } from 'percpu'
import { rejectsCode, throwsCode } from '../support/codes.js'

const library = import.meta.resolve('percpu')

describe('an invitation in Node', () => {
  it('is a handle, with which a worker joins; its event tells of its end', async () => {
    const machine = boot({ cpus: 2, memory: '1 MiB' })
    const invitation = machine.invite()
    const source = `
      const { parentPort, workerData } = require('node:worker_threads')
      import(${JSON.stringify(library)}).then(async ({ joinInvited }) => {
        const { cpu } = await joinInvited(workerData)
        parentPort.postMessage(cpu)
        for (;;);
      })`
    const worker = new Worker(source, {
      eval: true,
      workerData: invitation,
      transferList: invitation.ports,
    })
    const { terminate, reaped } = machine.supervise(worker, invitation)
    assert.equal(await new Promise((resolve) => worker.once('message', resolve)), 1)
    assert.deepEqual([await terminate(), await reaped, machine.online], [[1], [1], [0]])
  })

  it("is refused where it is none, or another machine's", async () => {
    const [machine, other] = [boot({ cpus: 1, memory: '1 MiB' }), boot({ cpus: 1, memory: '1 MiB' })]
    const worker = { threadId: 4711, once: () => undefined, terminate: () => undefined }
    for (const wrong of [other.invite(), { ...machine.invite() }, null, 5])
      throwsCode(() => machine.supervise(worker, wrong as Invitation), 'PERCPU_ARGUMENT', /not an invitation/)
    for (const wrong of [machine.handle, null, { ...machine.invite(), ports: undefined }])
      await rejectsCode(joinInvited(wrong as unknown as Invitation), 'PERCPU_BAD_HANDLE', /not an invitation/)
    await rejectsCode(joinInvited(machine.invite()), 'PERCPU_ALREADY_JOINED', /CPU 0/)
    await rejectsCode(joinInvited(machine.invite(), { timeout: -1 }), 'PERCPU_ARGUMENT', /timeout/)
  })
})

/**
 * Runs a program as in a browser: no threads with numbers, and Web Locks, of which `held` has those
 * that are held, as functions that end their holder. Gives what it leaves in `found`.
 */
function inBrowser(program: string): unknown {
  const source = `
    process.getBuiltinModule = undefined
    const held = new Map()
    const waiting = []
    const grantNext = (name) => {
      const next = waiting.findIndex((request) => request.name === name)
      if (next < 0 || held.has(name)) return
      const [{ run }] = waiting.splice(next, 1)
      const end = () => (held.delete(name), grantNext(name))
      held.set(name, end)
      Promise.resolve(run()).then(end)
    }
    const events = []
    const locks = {
      async request(name, run) {
        events.push('asks')
        waiting.push({ name, run })
        setImmediate(grantNext, name)
      },
    }
    Object.defineProperty(globalThis, 'navigator', { value: { locks }, configurable: true })
    const { postMessage } = MessagePort.prototype
    MessagePort.prototype.postMessage = function (message) {
      events.push(message)
      postMessage.call(this, message)
    }
    const { boot, joinInvited } = await import(${JSON.stringify(library)})
    // As another thread, so that this one can be the worker.
    const machine = boot({ cpus: 3, memory: '1 MiB', thread: 7 })
    const terminated = []
    const worker = { terminate: () => terminated.push('terminated') }
    const codeOf = (promise) => promise.then(() => 'resolved', ({ code }) => code)
    const found = {}
    ${program}
    console.log(JSON.stringify(found))
    process.exit()`
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', source], {
    encoding: 'utf8',
  })
  assert.equal(status, 0, stderr)
  return JSON.parse(stdout)
}

describe('an invitation where only a lock tells', () => {
  it('lets the worker join once the inviter waits for its lock', () => {
    const found = inBrowser(`
      const invitation = machine.invite()
      const { reaped } = machine.supervise(worker, invitation)
      const joined = joinInvited(invitation).then((joined) => (events.push('joins'), joined))
      const { cpu } = await joined
      Object.assign(found, { cpu, events: [...events], online: machine.online })
      const [[name, end]] = held
      end() // the thread has ended
      Object.assign(found, { reaped: await reaped, left: machine.online })`)
    const events = ['asks', 'held', 'asks', 'go', 'joins']
    assert.deepEqual(found, { cpu: 1, events, online: [0, 1], reaped: [1], left: [0] })
  })

  it('serves one thread, which joins once at a time', () => {
    const found = inBrowser(`
      const invitation = machine.invite()
      const joined = await joinInvited(invitation)
      found.again = await codeOf(joinInvited(invitation))
      found.other = await codeOf(joinInvited(machine.invite()))
      await joined.offline()
      const { cpu } = await joinInvited(invitation)
      found.cpu = cpu`)
    const refused = 'PERCPU_ALREADY_JOINED'
    assert.deepEqual(found, { again: refused, other: refused, cpu: 1 })
  })

  it('is not heard any more once its worker was terminated before it spoke', () => {
    const found = inBrowser(`
      const invitation = machine.invite()
      const { terminate } = machine.supervise(worker, invitation)
      found.reaped = await terminate()
      found.late = await codeOf(joinInvited(invitation, { timeout: 50 }))
      Object.assign(found, { terminated, present: machine.cpus.present })`)
    const late = 'PERCPU_UNANSWERED'
    assert.deepEqual(found, { reaped: [], late, terminated: ['terminated'], present: [0] })
  })

  it('is refused without its port, without locks, and for what is no worker', () => {
    const found = inBrowser(`
      const invitation = machine.invite()
      found.portless = await codeOf(joinInvited({ ...invitation, key: 1, ports: [] }))
      const refusal = (run) => codeOf(Promise.resolve().then(run))
      found.noWorker = await refusal(() => machine.supervise({}, invitation))
      found.uninvited = await refusal(() => machine.supervise(worker))
      delete globalThis.navigator
      found.lockless = await refusal(() => machine.invite())`)
    assert.deepEqual(found, {
      portless: 'PERCPU_BAD_HANDLE',
      noWorker: 'PERCPU_ARGUMENT',
      uninvited: 'PERCPU_UNSUPPORTED',
      lockless: 'PERCPU_UNSUPPORTED',
    })
  })
})
