// The options of the long kill tests, and a short run that is stopped meanwhile.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { layers, readOptions, tortureKill } from '../torture-kill.mjs'

describe('the options of torture:kill', () => {
  it('are those of all layers by default, and also taken from the environment', () => {
    assert.deepEqual(readOptions([], {}), { kills: 1000, seed: undefined, stop: false, layers })
    assert.deepEqual(
      readOptions(['--stop', '--kills', '7', 'rcu'], { PERCPU_KILLS: '3', PERCPU_SEED: '5' }),
      {
        kills: 7,
        seed: 5,
        stop: true,
        layers: ['rcu'],
      },
    )
  })

  it('are refused when they mean nothing', () => {
    assert.throws(() => readOptions(['--kills', 'many'], {}), /--kills many is no whole number/)
    assert.throws(() => readOptions(['--kills', '0'], {}), /--kills 0/)
    assert.throws(() => readOptions(['locks'], {}), /no kill test of locks: sync, alloc/)
    assert.throws(() => readOptions(['--often'], {}), /often/)
  })
})

const posix = { skip: process.platform === 'win32' && 'processes cannot be stopped there' }

describe('threads that are killed while their process is stopped and goes on', () => {
  it('leave nothing behind', posix, async () => {
    const { code, stops } = await tortureKill({ kills: 4, seed: 1, stop: true, layers: ['sync'] }, 'ignore')
    assert.equal(code, 0)
    assert.ok(stops > 0)
  })
})
