// Runs one compiled test file in a process of its own, with a time limit.

import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync } from 'node:fs'
import path from 'node:path'

/**
 * Runs `file` (relative to `directory`) with Node, for `seconds` at most. Resolves with whether it
 * was `killed` (it failed or `timedOut`), `how`, its time and the end of its output.
 *
 * `hasFailed` is called with each piece of output, preceded by the last 1000 characters before it.
 * Once it gives true the file has failed, and is ended.
 */
export function runTestFile(directory, file, { seconds, nodeOptions = [], hasFailed = () => false }) {
  const start = performance.now()
  const child = spawn(process.execPath, [...nodeOptions, file], {
    cwd: directory,
    // In a process group of its own, so that its end is also the end of what it started.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_TEST_CONTEXT: '', TMPDIR: temporaryFolder(directory) },
  })
  let output = ''
  let failed = false
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      if (!failed && hasFailed(output.slice(-1000) + text)) {
        failed = true
        killGroup(child)
      }
      output = (output + text).slice(-4000)
    })
  }
  let timedOut = false
  const timer = setTimeout(() => {
    timedOut = true
    killGroup(child)
  }, seconds * 1000)
  // A process that it left behind would keep its output open.
  child.once('exit', () => killGroup(child))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      const milliseconds = Math.round(performance.now() - start)
      const how = timedOut ? `no end within ${seconds} s` : howItEnded(failed, code, signal)
      resolve({ killed: timedOut || failed || code !== 0, timedOut, how, milliseconds, output })
    })
  })
}

/** Whether what node:test prints to a pipe tells of a test that failed. */
export function tellsOfFailure(text) {
  return /\n *not ok \d+ (?![^\n]*# (TODO|SKIP))[^\n]*\n/.test(text)
}

/** What ends early leaves files behind: they go with the directory. */
function temporaryFolder(directory) {
  const folder = path.join(directory, 'tmp')
  mkdirSync(folder, { recursive: true })
  // Programs that run as another user write there, too.
  chmodSync(folder, 0o1777)
  return folder
}

function howItEnded(failed, code, signal) {
  if (failed) return 'test failed'
  if (signal !== null) return signal
  return code === 0 ? 'passed' : 'test failed'
}

function killGroup({ pid }) {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    // Nobody of the group is left.
    if (error.code !== 'ESRCH') throw error
  }
}
