/**
 * Runs the same program in several processes. Each explores its shard of every search. At the end
 * of each exploration they meet: each sends its outcome, and all go on with the one that these make
 * together.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { together, type Sent } from './outcome.js'
import type { Request } from './request.js'

/** From the parent: the request first, then the outcome of each exploration. */
export type ToShard =
  | {
      readonly request: Request
      readonly index: number
      readonly count: number
      /** A folder in which a shard that has found a failure puts a file, for the others. */
      readonly board: string
    }
  | { readonly outcome: Sent }
/**
 * From a shard: the outcome of its part of each exploration, and last the errors of the program.
 */
export type FromShard =
  { readonly name: string; readonly outcome: Sent } | { readonly errors: readonly string[] }

/**
 * The shards could not be started, or have not made the same explorations: then the program depends
 * on something that differs between processes.
 */
export class ShardError extends Error {
  readonly code = 'LAB_SHARDS'
}

/**
 * Runs the program in `count` processes; resolves with the errors that it ended with.
 *
 * @throws ShardError
 */
export async function runShards(
  request: Request,
  count: number,
  ended: (name: string, outcome: Sent) => void,
): Promise<readonly string[]> {
  const board = makeBoard()
  try {
    return await new Meeting(request, count, board, ended).over
  } finally {
    removeBoard(board)
  }
}

function makeBoard(): string {
  try {
    return mkdtempSync(path.join(tmpdir(), 'percpu-lab-shards-'))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new ShardError(
      `several processes need a folder for temporary files (TMPDIR), or --jobs 1: ${reason}`,
    )
  }
}

/** Removes the folder. Outcomes must not be lost because it stays. */
function removeBoard(board: string): void {
  try {
    rmSync(board, { recursive: true, force: true })
  } catch (error) {
    process.stderr.write(`percpu-lab: ${board} stays: ${String(error)}\n`)
  }
}

class Meeting {
  private readonly children: ChildProcess[] = []
  /** The outcome of each shard that has ended the exploration at hand. */
  private readonly arrived = new Map<number, { readonly name: string; readonly outcome: Sent }>()
  private readonly errors: string[] = []
  private running: number
  readonly over: Promise<readonly string[]>
  private settle!: { resolve(errors: readonly string[]): void; reject(error: unknown): void }

  constructor(
    request: Request,
    count: number,
    board: string,
    private readonly ended: (name: string, outcome: Sent) => void,
  ) {
    this.running = count
    this.over = new Promise((resolve, reject) => (this.settle = { resolve, reject }))
    for (let index = 0; index < count; index++) this.start({ request, index, count, board })
  }

  private start(start: Extract<ToShard, { request: Request }>): void {
    const { index } = start
    const child = fork(fileURLToPath(new URL('./shard-main.js', import.meta.url)), {
      // The output of the program is printed once.
      stdio: ['ignore', index === 0 ? 'inherit' : 'ignore', 'inherit', 'ipc'],
      // Outcomes may hold anything that a structured clone can.
      serialization: 'advanced',
    })
    this.children.push(child)
    child.send(start)
    child.on('message', (message) => {
      const told = message as FromShard
      if ('outcome' in told) this.onOutcome(index, told)
      else if (index === 0) this.errors.push(...told.errors)
    })
    child.once('error', (error) => this.abort(error))
    child.once('exit', (code, signal) => this.onExit(index, code, signal))
  }

  private onOutcome(index: number, told: { readonly name: string; readonly outcome: Sent }): void {
    const first = [...this.arrived.values()][0]
    if (first !== undefined && first.name !== told.name) return this.failApart(first.name)
    this.arrived.set(index, told)
    if (this.arrived.size < this.children.length) return
    if (this.running < this.children.length) return this.failApart(told.name)
    const outcome = together(this.children.map((_, i) => (this.arrived.get(i) as { outcome: Sent }).outcome))
    this.arrived.clear()
    this.ended(told.name, outcome)
    for (const child of this.children) child.send({ outcome } satisfies ToShard)
  }

  private onExit(index: number, code: number | null, signal: string | null): void {
    this.running--
    const first = [...this.arrived.values()][0]
    if (first !== undefined) return this.failApart(first.name)
    if (code !== 0 && index === 0 && this.errors.length === 0)
      this.errors.push(`the program ended with ${signal ?? `code ${String(code)}`}`)
    if (this.running === 0) this.settle.resolve(this.errors)
  }

  private failApart(name: string): void {
    this.abort(
      new ShardError(
        `not all processes explored ${JSON.stringify(name)}: run the program with --jobs 1, or make it do the same each time`,
      ),
    )
  }

  private abort(error: unknown): void {
    for (const child of this.children) child.kill()
    this.settle.reject(error)
  }
}
