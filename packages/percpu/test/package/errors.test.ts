/** Errors are recognised by every copy of the package that a program may have loaded. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ArgumentError, boot, OfflineError, OutOfMemoryError, PercpuError } from 'percpu'

/** Another copy of the module: its classes are others. */
const copy = (await import(new URL('../../dist/errors.js?copy', import.meta.url).href)) as {
  readonly PercpuError: typeof PercpuError
  readonly ArgumentError: typeof ArgumentError
}

function thrown(): unknown {
  try {
    boot({ cpus: 0 })
  } catch (error) {
    return error
  }
  return assert.fail('nothing was thrown')
}

describe('an error', () => {
  it('is an instance of its class and those above it, in every copy', () => {
    const error = thrown()
    assert.notEqual(copy.ArgumentError, ArgumentError)
    for (const type of [Error, PercpuError, ArgumentError, copy.PercpuError, copy.ArgumentError])
      assert.ok(error instanceof type, type.name)
    assert.ok(new copy.ArgumentError('from the copy') instanceof ArgumentError)
  })

  it('is none of another class', () => {
    assert.ok(!(thrown() instanceof OfflineError))
    for (const other of [new RangeError('other'), { code: 'PERCPU_ARGUMENT' }, null, undefined, 5, 'text'])
      assert.ok(
        !((other as unknown) instanceof PercpuError) && !((other as unknown) instanceof OutOfMemoryError),
      )
  })
})
