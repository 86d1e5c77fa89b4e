// The long form of the kill test: PERCPU_KILLS workers (1000 unless told) are terminated in the
// middle of changes of shared structures, and as many while they use the heap, and per-CPU memory.
// PERCPU_SEED chooses another run.
//
//     npm run torture:kill

import { spawn } from 'node:child_process'
import path from 'node:path'
import { repositoryRoot } from './lib/cli.mjs'

const tests = ['sync', 'alloc', 'percpu'].map((layer) =>
  path.join(repositoryRoot, `packages/percpu/dist-test/${layer}/kill.test.js`),
)
const env = { ...process.env, PERCPU_KILLS: process.env.PERCPU_KILLS ?? '1000' }
const child = spawn(process.execPath, ['--test', '--test-reporter=spec', ...tests], { env, stdio: 'inherit' })
child.once('exit', (code) => {
  process.exitCode = code ?? 1
})
