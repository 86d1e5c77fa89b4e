/** Waits of any code go through those who want to know of them, and through nobody afterwards. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { interceptWaits } from 'percpu/mem'

const view = new Int32Array(new SharedArrayBuffer(4))
/** Waits with `Atomics.wait`, as foreign code does; gives the names of those it went through. */
function wait(through: string[]): string[] {
  through.length = 0
  assert.equal(Atomics.wait(view, 0, 1, 0), 'not-equal')
  return through
}

it('waits go through all who want that, until each of them ends it', () => {
  const { wait: host } = Atomics
  const through: string[] = []
  const begin = (name: string) =>
    interceptWaits((next) => {
      through.push(name)
      return next()
    })
  for (const order of ['abc', 'acb', 'bac', 'bca', 'cab', 'cba']) {
    const ends = new Map(['a', 'b', 'c'].map((name) => [name, begin(name)]))
    const left = new Set('abc')
    for (const name of order) {
      assert.deepEqual(wait(through).sort(), [...left].sort(), order)
      // Twice is once.
      for (let i = 0; i < 2; i++) ends.get(name)?.()
      left.delete(name)
    }
    assert.equal(Atomics.wait, host)
    assert.deepEqual(wait(through), [])
  }
})

it('a function that others have put there stays, and what is below it is as it was', () => {
  const { wait: host } = Atomics
  const through: string[] = []
  const end = interceptWaits((next) => {
    through.push('mine')
    return next()
  })
  const { wait: below } = Atomics
  const theirs = ((...args: Parameters<typeof host>) => {
    through.push('theirs')
    return Reflect.apply(below, Atomics, args)
  }) as typeof host
  Reflect.set(Atomics, 'wait', theirs)
  try {
    assert.deepEqual(wait(through), ['theirs', 'mine'])
    end()
    assert.equal(Atomics.wait, theirs)
    assert.deepEqual(wait(through), ['theirs'])
    const endAgain = interceptWaits((next) => {
      through.push('again')
      return next()
    })
    assert.deepEqual(wait(through), ['theirs', 'again'])
    endAgain()
    assert.deepEqual(wait(through), ['theirs'])
  } finally {
    Reflect.set(Atomics, 'wait', host)
  }
})

it('a function that others put there after the end is gone through, too', () => {
  const { wait: host } = Atomics
  const through: string[] = []
  interceptWaits((next) => next())()
  const theirs = ((...args: Parameters<typeof host>) => {
    through.push('theirs')
    return Reflect.apply(host, Atomics, args)
  }) as typeof host
  Reflect.set(Atomics, 'wait', theirs)
  try {
    const end = interceptWaits((next) => {
      through.push('mine')
      return next()
    })
    assert.deepEqual(wait(through), ['mine', 'theirs'])
    end()
    assert.equal(Atomics.wait, theirs)
  } finally {
    Reflect.set(Atomics, 'wait', host)
  }
})
