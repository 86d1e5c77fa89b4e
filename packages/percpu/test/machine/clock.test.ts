/** Machine time: from the boot on, in step with the host's clock. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fresh, joinAs } from '../support/machines.js'

/** Milliseconds since the Unix epoch, of this host. */
const hostTime = (): number => performance.timeOrigin + performance.now()
/** Numbers of that size are multiples of 2^-12. */
const ROUNDING = 0.001

describe('machine time', () => {
  it('is that of the host, on each of its CPUs', () => {
    const before = hostTime()
    const machine = fresh()
    const booted = hostTime()
    const cpus = [machine, joinAs(machine, 101)]
    for (let turn = 0; turn < 50; turn++) {
      for (const { watch } of cpus) {
        const from = hostTime()
        const { at, unix } = watch.inspect({ dispatches: 0 })
        const to = hostTime()
        assert.ok(from - ROUNDING <= unix && unix <= to + ROUNDING, `${from} <= ${unix} <= ${to}`)
        const [least, most] = [from - booted - ROUNDING, to - before + ROUNDING]
        assert.ok(least <= at && at <= most, `${least} <= ${at} <= ${most}`)
      }
    }
  })
})
