// Runs one compiled test file in a process of its own, with a time limit.

import { spawn } from 'node:child_process'

/**
 * Runs `file` (relative to `directory`) with Node, for `seconds` at most. Resolves with whether it
 * was `killed` (it failed or `timedOut`), `how`, its time and the end of its output.
 * `onOutput` is called with each piece of output, preceded by the last 100 characters before it.
 */
export function runTestFile(directory, file, { seconds, nodeOptions = [], onOutput = () => undefined }) {
  const start = performance.now()
  const child = spawn(process.execPath, [...nodeOptions, file], {
    cwd: directory,
    // In a process group of its own, so that its end is also the end of what it started.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_TEST_CONTEXT: '' },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      onOutput(output.slice(-100) + text)
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
      const how = timedOut ? `no end within ${seconds} s` : howItEnded(code, signal)
      resolve({ killed: timedOut || code !== 0, timedOut, how, milliseconds, output })
    })
  })
}

function howItEnded(code, signal) {
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
