/** Every program in examples/ runs to its end and says what it promises. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const folder = fileURLToPath(new URL('../../../../examples/', import.meta.url))
const promised: Readonly<Record<string, readonly RegExp[]>> = {
  'alloc-linked-list.js': [
    /^round 3: a list of \d+ whole nodes$/m,
    /^in use: only what is linked$/m,
    /^at the end: \[\]$/m,
  ],
  'cross-call.js': [/^ran on \[ 1, 2, 3 \] failed on \[ 0 \]$/m, /^CPU 2 dropped its cache, generation 42$/m],
  'lab-two-contexts.js': [
    /^counted by a load and a store: assertion in execution 3: the lock count fell behind$/m,
    /^counted by a load and a store, with an updater: starvation in execution 33: /m,
    /^counted in one step: all 3 executions are right$/m,
    /^counted in one step, with an updater: all 19 executions are right$/m,
  ],
  'lab-walker.js': [
    /^no protection: data race in execution 1: /m,
    /^a doorbell answered in the middle: data race in execution 2: /m,
    /^a count without a barrier: data race in execution 1: /m,
    /^a doorbell answered between turns: all 4 executions are right$/m,
    /^a doorbell, interrupts masked: all 3 executions are right$/m,
    /^a count with a barrier: all 3 executions are right$/m,
  ],
  'layout-kvm.js': [/arch\.lpid/, /45864/, /17752/, /32767/],
  'layout-lppaca.js': [/must be exactly 640/, /crosses a boundary of 4096/],
  'map-shared-cache.js': [
    /^entries: 1000$/m,
    /^worked out: [12]\d\d\d for 40000 times that one was asked for$/m,
    /^\{ number: 12, square: 144, isSeen: true \} true false$/m,
  ],
  'park.js': [/^a grace period passed while CPU 1 slept$/m, /^called: \[ 1 \]$/m, /^CPU 1 has got its job$/m],
  'percpu-counters.js': [
    /^all: 2000 requests, 1024000 bytes$/m,
    /^after their death: 2000 requests, counter 2000$/m,
    /^per-CPU memory: vm, 3 units of 32768 bytes/m,
  ],
  'ring-work-queue.js': [
    /^jobs lost: one at most$/m,
    /^all results are right: true$/m,
    /^left: 0 0 true true$/m,
  ],
  'range-routing-table.js': [
    /^halves seen: 0$/m,
    /^ranges: 2 office office$/m,
    /^167772160-176160767 office\n176160768-184549375 branch\n3221225984-3221226111 lab$/m,
    /^nearest: lab$/m,
  ],
  'sparse-snapshot.js': [
    /^snapshots that are no moment: 0$/m,
    /^snapshots that changed: 0$/m,
    /^the writer went on: true$/m,
    /^pages: 50 of 134217728\nPERCPU_FAULT$/m,
  ],
  'survive-terminate.js': [/^round 3: reaped \[ 1 \] online \[ 0 \]$/m, /^memory as before: true$/m],
}

describe('examples', () => {
  const files = readdirSync(folder).filter((name) => name.endsWith('.js'))
  it('are all listed here', () => {
    assert.deepEqual(files.sort(), Object.keys(promised).sort())
  })
  for (const [file, patterns] of Object.entries(promised)) {
    it(`${file} prints what it promises`, async () => {
      const { stdout } = await promisify(execFile)(process.execPath, [folder + file], { timeout: 60_000 })
      for (const pattern of patterns) assert.match(stdout, pattern)
    })
  }
})
