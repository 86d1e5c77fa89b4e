/** The debug mode of SRCU: misuse is found, and told with the stacks of those who did it. */
import assert from 'node:assert/strict'
import { describe, it, mock } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { SrcuMisuseError, type BootOptions, type Machine, type Srcu, type SrcuFlavour } from 'percpu'
import { fresh, joinAs } from '../support/machines.js'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const debugged = (options: BootOptions = {}): Machine => fresh({ debugRcu: true, ...options })

/** The error with which a call, or its promise, fails. */
async function failure(run: () => unknown): Promise<SrcuMisuseError> {
  try {
    await run()
  } catch (error) {
    assert.ok(error instanceof SrcuMisuseError, String(error))
    return error
  }
  assert.fail('nothing was thrown')
}
const misuseOf = async (run: () => unknown): Promise<unknown> => (await failure(run)).misuse

/** What the machine tells next. */
const told = (machine: Machine): Promise<SrcuMisuseError> =>
  new Promise((resolve) => machine.on('rcuMisuse', ({ error }) => resolve(error)))

/** Sections under way, in the words of the domain. */
function countsOf(domain: Srcu): { openOf(cpu: number): number; readonly handedOver: number } {
  return (domain as unknown as { words: ReturnType<typeof countsOf> }).words
}

function beginHere(domain: Srcu): number {
  return domain.readLock()
}

const kinds: readonly [string, BootOptions, SrcuFlavour][] = [
  ['a fast domain', {}, 'fast'],
  ['a normal domain', {}, 'normal'],
  ['a tiny domain', { smp: false }, 'fast'],
]
for (const [name, options, flavour] of kinds)
  describe(`${name} in debug mode`, () => {
    it('works, with tokens that are all different', async () => {
      const domain = debugged(options).srcu('s', { flavour })
      const tokens = [domain.readLock(), domain.readLock(), domain.downRead()]
      assert.equal(new Set(tokens).size, 3)
      let isOver = false
      const waiting = domain.synchronize().then(() => (isOver = true))
      domain.readUnlock(tokens[0] ?? -1)
      domain.readUnlock(tokens[1] ?? -1)
      await setTimeout(5)
      assert.equal(isOver, false)
      domain.upRead(tokens[2] ?? -1)
      await waiting
      assert.equal(await domain.protect(() => 7), 7)
      {
        using section = domain.section()
        assert.equal(section.isOpen, true)
      }
      domain.synchronizeBlocking({ timeout: 1000 })
      await domain.synchronizeExpedited({ timeout: 1000 })
      assert.equal(countsOf(domain).openOf(0), 0)
    })

    it('finds a section that is ended twice, with both stacks, and whatever else is under way', async () => {
      const domain = debugged(options).srcu('s', { flavour })
      const other = domain.readLock()
      const token = beginHere(domain)
      domain.readUnlock(token)
      const error = await failure(() => domain.readUnlock(token))
      assert.equal(error.misuse, 'ended-twice')
      assert.match(error.lockedAt ?? '', /beginHere/)
      assert.match(
        error.message,
        /begun:\n.*beginHere[^]*ended:\n[^]*debug\.test[^]*ended again:\n[^]*debug\.test/,
      )
      assert.equal(countsOf(domain).openOf(0), 1)
      domain.readUnlock(other)
      const down = domain.downRead()
      domain.upRead(down)
      assert.equal(await misuseOf(() => domain.upRead(down)), 'ended-twice')
      assert.equal(countsOf(domain).handedOver, 0)
    })

    it('finds the tokens of other domains, and those of the other kind', async () => {
      const machine = debugged(options)
      const domain = machine.srcu('s', { flavour })
      const other = machine.srcu('t')
      const token = beginHere(domain)
      const error = await failure(() => other.readUnlock(token))
      assert.equal(error.misuse, 'other-domain')
      assert.match(error.message, /^t: .* of a section of s\b[^]*beginHere/)
      assert.equal(await misuseOf(() => domain.upRead(token)), 'no-section')
      const down = domain.downRead()
      assert.equal(await misuseOf(() => other.upRead(down)), 'other-domain')
      assert.equal(await misuseOf(() => domain.readUnlock(down)), 'no-section')
      for (const wrong of [0, 1, -1, 0.5, NaN, undefined, '0', token + 2 ** 20] as number[]) {
        assert.equal(await misuseOf(() => domain.readUnlock(wrong)), 'no-section')
        assert.ok(await failure(() => domain.upRead(wrong)))
      }
      domain.readUnlock(token)
      domain.upRead(down)
      await domain.synchronize({ timeout: 1000 })
    })

    it('refuses to wait inside `protect` of the same domain, and to block inside any section', async () => {
      const domain = debugged(options).srcu('s', { flavour })
      for (const wait of ['synchronize', 'synchronizeExpedited', 'barrier'] as const) {
        const inside = async (): Promise<void> => {
          await setTimeout(1)
          await domain[wait]()
        }
        const error = await failure(() => domain.protect(inside))
        assert.equal(error.misuse, 'wait-inside')
        assert.match(error.message, /begun:[^]*debug\.test[^]*waited:[^]*inside/)
      }
      // Around it, and beside it, waiting is right.
      let finish = (): void => undefined
      const section = domain.protect(() => new Promise<void>((resolve) => (finish = resolve)))
      const waiting = domain.synchronize()
      finish()
      await Promise.all([section, waiting])
      const token = beginHere(domain)
      assert.throws(() => domain.synchronizeBlocking({ timeout: 10 }), {
        code: 'PERCPU_SELF_DEADLOCK',
        message: /beginHere/,
      })
      domain.readUnlock(token)
    })

    it('tells of a wait inside another section of the same domain once it has lasted', async () => {
      const machine = debugged({ ...options, stallTimeout: 20 })
      machine.on('stall', () => undefined)
      const domain = machine.srcu('s', { flavour })
      const error = told(machine)
      const reader = async (): Promise<void> => {
        const token = beginHere(domain)
        await setTimeout(1)
        await domain.synchronize({ timeout: 200 }).catch(() => undefined)
        domain.readUnlock(token)
      }
      const reading = reader()
      assert.equal((await error).misuse, 'wait-inside')
      assert.match((await error).message, /begun:[^]*beginHere[^]*waited:[^]*reader/)
      await reading
    })
  })

describe('circles of domains', () => {
  interface World {
    readonly machine: Machine
    readonly other: Machine
    readonly a: Srcu
    readonly b: Srcu
    readonly c: Srcu
    readonly otherA: Srcu
    readonly otherB: Srcu
  }
  /** Two CPUs of one thread, and domains of each. */
  function world(options: BootOptions = {}): World {
    const machine = debugged(options)
    const other = joinAs(machine, 101, { stallTimeout: options.stallTimeout ?? 10_000 })
    const open = (on: Machine, name: string): Srcu => on.srcu(name, { flavour: 'normal' })
    const [a, b, c] = [open(machine, 'a'), open(machine, 'b'), open(machine, 'c')]
    return { machine, other, a, b, c, otherA: open(other, 'a'), otherB: open(other, 'b') }
  }

  it('are found before anybody hangs, with all stacks, whichever threads waited', async () => {
    const { a, b, otherA, otherB } = world()
    const forwards = (): Promise<void> => a.synchronize({ timeout: 1000 })
    await b.protect(forwards)
    const error = await failure(() => otherA.protect(() => otherB.synchronize({ timeout: 1000 })))
    assert.equal(error.misuse, 'circle')
    assert.match(
      error.message,
      /closes a circle:\s+before, CPU 0 inside b, waited for a:[^]*forwards[^]*begun:[^]*waited:/,
    )
    // The wait that was refused is not held against others.
    await b.protect(forwards)
  })

  it('may be of more than two', async () => {
    const { a, b, c } = world()
    await a.protect(() => b.synchronize())
    await b.protect(() => c.synchronize())
    await a.protect(() => c.synchronize())
    const error = await failure(() => c.protect(() => a.synchronize()))
    assert.equal((error.details['circle'] as string[]).length, 2)
  })

  it('are found where threads block inside sections', async () => {
    const { a, b, otherA, otherB } = world()
    const token = b.readLock()
    a.synchronizeBlocking({ timeout: 1000 })
    b.readUnlock(token)
    const other = otherA.readLock()
    assert.equal(await misuseOf(() => otherB.synchronizeBlocking({ timeout: 1000 })), 'circle')
    otherA.readUnlock(other)
  })

  it('of other sections are told once the waits have lasted', async () => {
    const { machine, other, a, b, otherA, otherB } = world({ stallTimeout: 20 })
    for (const on of [machine, other]) on.on('stall', () => undefined)
    const error = Promise.race([told(machine), told(other)])
    const inside = async (section: Srcu, awaited: Srcu): Promise<void> => {
      const token = section.readLock()
      await setTimeout(1)
      await awaited.synchronize({ timeout: 300 }).catch(() => undefined)
      section.readUnlock(token)
    }
    const tasks = [inside(otherA, otherB), inside(b, a)]
    assert.equal((await error).misuse, 'circle')
    await Promise.all(tasks)
  })

  it('are forgotten with a domain that was cleaned up', async () => {
    const { machine, a, b } = world()
    await b.protect(() => a.synchronize())
    await b.cleanup()
    for (const use of ['synchronize', 'readLock', 'section'] as const)
      assert.throws(() => void b[use](), /cleaned up/)
    await assert.rejects(
      b.protect(() => 1),
      /cleaned up/,
    )
    const again = machine.srcu('b')
    await a.protect(() => again.synchronize())
  })
})

describe('sections that nobody ends', () => {
  /** Runs `begin`, and collects garbage until it is told. */
  async function collected(machine: Machine, begin: () => void): Promise<SrcuMisuseError> {
    let error: SrcuMisuseError | undefined
    machine.on('rcuMisuse', (event) => (error = event.error))
    await setTimeout(1)
    begin()
    for (let i = 0; i < 200 && !error; i++) {
      await setTimeout(5)
      collect()
    }
    assert.ok(error, 'nothing was told')
    return error
  }

  it('are told when their guard was collected', async () => {
    const machine = debugged({ stallTimeout: 100_000 })
    const domain = machine.srcu('s')
    const error = await collected(machine, function loses() {
      domain.section()
    })
    assert.equal(error.misuse, 'guard-lost')
    assert.match(error.lockedAt ?? '', /loses/)
  })

  it('are told when their task has ended', async () => {
    const machine = debugged({ stallTimeout: 10 })
    const domain = machine.srcu('s')
    const forgets = async (): Promise<void> => {
      beginHere(domain)
      await setTimeout(1)
    }
    const error = await collected(machine, () => void setImmediate(() => void forgets()))
    assert.equal(error.misuse, 'task-ended')
    assert.match(error.lockedAt ?? '', /beginHere/)
  })

  it('are not told while somebody may end them, nor when they have ended', async () => {
    const machine = debugged({ stallTimeout: 1 })
    const domain = machine.srcu('s')
    const warn = mock.method(console, 'warn', () => undefined)
    const guard = domain.section()
    const task = async (): Promise<void> => {
      const token = domain.readLock()
      for (let i = 0; i < 10; i++) {
        await setTimeout(2)
        collect()
      }
      domain.readUnlock(token)
    }
    await task()
    guard.end()
    for (let i = 0; i < 5; i++) {
      await setTimeout(2)
      collect()
    }
    assert.equal(warn.mock.callCount(), 0)
    warn.mock.restore()
  })
})

describe('sections of a CPU that goes offline in debug mode', () => {
  it('are named with their stacks, and can be ended no more', async () => {
    const machine = debugged()
    const other = joinAs(machine, 101)
    const domain = other.srcu('s')
    const token = beginHere(domain)
    await assert.rejects(other.offline(), (error: Error) => {
      const { errors = [] } = Object(error.cause) as { errors?: unknown[] }
      assert.match(
        [error.cause, ...errors].join(),
        /1 read sections of s under way; they were ended[^]*beginHere/,
      )
      return true
    })
    assert.throws(() => domain.readUnlock(token), { code: 'PERCPU_OFFLINE' })
    await machine.srcu('s').synchronize({ timeout: 1000 })
  })
})

describe('sections of several threads in debug mode', () => {
  it('are known with their stacks to the others', async () => {
    const machine = debugged()
    const domain = machine.srcu('s')
    const other = joinAs(machine, 101).srcu('s')
    const token = beginHere(other)
    const error = await failure(() => domain.readUnlock(token))
    assert.deepEqual([error.misuse, error.details['cpu']], ['other-cpu', 1])
    assert.match(error.lockedAt ?? '', /beginHere/)
    const down = other.downRead()
    domain.upRead(down)
    assert.equal(await misuseOf(() => other.upRead(down)), 'ended-twice')
    other.readUnlock(token)
  })

  it('are unknown again when their thread has died, but for those handed over', async () => {
    const machine = debugged()
    const domain = machine.srcu('s')
    const other = joinAs(machine, 101).srcu('s')
    const token = other.readLock()
    const down = other.downRead()
    machine.cpus.declareDead(1)
    assert.equal((await failure(() => domain.readUnlock(token))).lockedAt, undefined)
    domain.upRead(down)
    await domain.synchronize({ timeout: 1000 })
  })

  it('go on without notes when there are more than fit', async () => {
    const machine = debugged()
    const domain = machine.srcu('s')
    const other = joinAs(machine, 101).srcu('s')
    const tokens = Array.from({ length: 300 }, () => domain.readLock())
    const downs = Array.from({ length: 3 }, () => domain.downRead())
    for (const token of tokens) domain.readUnlock(token)
    for (const down of downs) other.upRead(down)
    assert.equal(await misuseOf(() => domain.readUnlock(tokens[299] ?? -1)), 'ended-twice')
    await domain.synchronize({ timeout: 1000 })
  })
})

it('without debug mode tokens are 0 and 1', () => {
  const domain = fresh().srcu('s')
  const token = domain.readLock()
  assert.ok(token === 0 || token === 1)
  domain.readUnlock(token)
})
