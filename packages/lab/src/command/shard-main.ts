/** The program of one of several processes that explore the same files (shards.ts). */
import { existsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fromSent, toSent, type Sent } from './outcome.js'
import { runProgram } from './program.js'
import type { FromShard, ToShard } from './shards.js'

/** Resolves with the next message. Messages keep the process alive only while one is waited for. */
function receive(): Promise<ToShard> {
  process.channel?.ref()
  return new Promise((resolve) => {
    process.once('message', (message) => {
      process.channel?.unref()
      resolve(message as ToShard)
    })
  })
}

function send(message: FromShard): Promise<void> {
  return new Promise((resolve) => process.send?.(message, undefined, {}, () => resolve()))
}

process.once('disconnect', () => process.exit(1))
const start = await receive()
if (!('request' in start)) throw new Error('started by shards.ts only')
const { request, index, count, board } = start

/** The number of explorations that have ended: that of the one at hand. */
let number = 0

/**
 * Lets the other shards stop early. If that fails, they search to their end, and the failure is
 * told all the same.
 */
function tellOthers(): void {
  try {
    writeFileSync(path.join(board, String(number)), '')
  } catch (error) {
    process.stderr.write(`percpu-lab: the other processes go on: ${String(error)}\n`)
  }
}

const errors = await runProgram(request, {
  shard: { index, count },
  stopped: () => existsSync(path.join(board, String(number))),
  async ended(name, outcome) {
    if ('failure' in outcome) tellOthers()
    number++
    const reply = receive() as Promise<{ outcome: Sent }>
    await send({ name, outcome: toSent(outcome) })
    return fromSent((await reply).outcome)
  },
})
await send({ errors })
process.removeAllListeners('disconnect')
process.disconnect()
