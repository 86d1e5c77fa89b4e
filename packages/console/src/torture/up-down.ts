/**
 * Sections that one thread begins and another one ends. They travel in boxes.
 *
 *     EMPTY ──▶ BUSY ──▶ FULL ──▶ BUSY ──▶ EMPTY
 *
 * No thread that does this is terminated: a section that was handed over belongs to nobody, so none
 * would end it. But they may go offline, and then others end what they began.
 */
import { compareExchangeAtomic32, load32, store32, storeAtomic32 } from 'percpu/mem'
import { Glimpse } from './glimpse.js'
import { Box, BOXES, State } from './layout.js'
import { inspect } from './probe.js'
import { ReaderTally } from './tally.js'
import { breathe } from './reader.js'
import type { Task } from './task.js'

const EMPTY = 0
const BUSY = 1
const FULL = 2

const { words } = Box
const STRIDE = Box.stride / 4

export async function handOver(task: Task): Promise<void> {
  const tally = new ReaderTally(task.tally)
  const isAlone = task.machine.cpus.configuration.cpus === 1
  while (!task.isOver) {
    if (task.isPaused()) {
      drain(task, tally)
      await task.pausePoint()
    }
    for (let i = 0; i < 2; i++) begin(task, task.random.below(BOXES))
    for (let box = 0; box < BOXES; box++) end(task, box, tally, isAlone)
    tally.flush()
    await breathe(task)
  }
  drain(task, tally)
}

function begin(task: Task, box: number): void {
  const { flavour, owner } = task
  const { i32 } = task.memory
  const at = boxAt(task, box)
  // TG(torture.box) pairs with TH: the box is this thread's.
  if (compareExchangeAtomic32(i32, at + words.state, EMPTY, BUSY) !== EMPTY) return
  const token = flavour.downRead?.() ?? 0
  const { element, stamp } = new Glimpse(task)
  store32(i32, at + words.from, owner)
  store32(i32, at + words.token, token)
  store32(i32, at + words.element, element)
  store32(i32, at + words.stamp, stamp)
  task.tally.add('downs')
  // TH(torture.box) pairs with TG: whoever takes it finds what is in it.
  storeAtomic32(i32, at + words.state, FULL)
}

/** `any`: also what this thread began itself. */
function end(task: Task, box: number, tally: ReaderTally, any: boolean): void {
  const { flavour, owner } = task
  const { i32 } = task.memory
  const at = boxAt(task, box)
  // TG(torture.box) as above.
  if (compareExchangeAtomic32(i32, at + words.state, FULL, BUSY) !== FULL) return
  if (!any && load32(i32, at + words.from) === owner) {
    // TH(torture.box): not for this thread.
    storeAtomic32(i32, at + words.state, FULL)
    return
  }
  const glimpse = new Glimpse(task, load32(i32, at + words.element), load32(i32, at + words.stamp))
  inspect(task, glimpse, tally)
  flavour.upRead?.(load32(i32, at + words.token))
  task.tally.add('ups')
  // TH(torture.box): it is empty.
  storeAtomic32(i32, at + words.state, EMPTY)
}

/** Ends all that is under way. */
function drain(task: Task, tally: ReaderTally): void {
  for (let box = 0; box < BOXES; box++) end(task, box, tally, true)
  tally.flush()
}

function boxAt(task: Task, box: number): number {
  return task.state + State.words.boxes + box * STRIDE
}
