/**
 * The words that the threads of a torture run share.
 *
 *     current ──▶ one of the elements ──▶ its body, in the heap
 *
 * An element goes round: free, filled, published, replaced, and PIPE_LENGTH grace periods later
 * free again. Its `pipe` counts how far it is. A reader that finds it in a section must never see
 * that more than one grace period has ended since it was replaced.
 *
 * Who may write: `owner` says whose an element is, and only that thread writes it and its body.
 */
import { array, atomic, i32, published, racy, struct } from 'percpu'

/** Grace periods that an element waits for before it is used again. */
export const PIPE_LENGTH = 10
export const ELEMENTS = 10 * PIPE_LENGTH
/** Histograms and circulation have one more, for all that is longer. */
export const STEPS = PIPE_LENGTH + 1
/** Threads at once that have a slot. */
export const SLOTS = 128
/** Sections on their way from one thread to another one. */
export const BOXES = 8

/** Values of `owner`. A thread's own is its number, from 1 on. */
export const FREE = 0
export const PUBLISHED = -1

export const Element = struct('TortureElement', {
  owner: atomic(i32),
  /** Grace periods since it was replaced, and one for that. Only its owner adds. */
  pipe: racy(i32),
  /** 1 from before it is published until it is free. */
  mbtest: published(i32),
  /** What all words of its body are. */
  stamp: published(i32),
  /** Address of the body, in units of 8 bytes. */
  body: published(i32),
  /** 1: the body is to be freed. Cleared before that is done. */
  hasBody: atomic(i32),
})

/** Freed after one grace period, and used again by others at once. */
export const Body = struct('TortureBody', { words: array(published(i32), 16) })

/** A section that one thread began and another one ends. */
export const Box = struct('TortureBox', {
  /** EMPTY, BUSY or FULL: up-down.ts. */
  state: atomic(i32),
  from: published(i32),
  token: published(i32),
  element: published(i32),
  stamp: published(i32),
})

/** Of a thread, for the stand-in domain: stand-in.ts. */
export const StandInCounts = struct('TortureStandInCounts', {
  locks: array(atomic(i32), 2),
  unlocks: array(atomic(i32), 2),
})

/** What is counted. Words of `counts`, in this order. */
export const COUNTERS = [
  ...['versions', 'allocations', 'allocationFailures', 'releases'],
  ...['reads', 'nestedReads', 'deafReads', 'cookieChecks', 'stretches'],
  ...['synchronized', 'expedited', 'blocked', 'polled', 'conditional', 'chained', 'freed', 'fakes'],
  ...['callsPosted', 'callsQueued', 'callsRun', 'barriers', 'floods', 'flooded'],
  ...['downs', 'ups', 'threads', 'offlines', 'readExits', 'torn'],
] as const
export type Counter = (typeof COUNTERS)[number]

/** What can go wrong. Words of `failures`, in this order. */
export const FAILURES = [
  'memory-error',
  'short-grace-period',
  'cookie',
  'barrier',
  'forward-progress',
  'stalled',
  'circulation',
  'unbalanced',
  'lost-elements',
  'lost-memory',
  'lost-callbacks',
  'refused',
  'uncaught',
] as const
export type Failure = (typeof FAILURES)[number]

export const State = struct('TortureState', {
  /** Index of the published element. */
  current: atomic(i32),
  /** 1: all threads shall end. */
  stop: atomic(i32),
  /** 1: all threads shall let go of what they have, and wait. */
  pause: atomic(i32),
  /** The next stamp. */
  stamps: atomic(i32),
  /** A word to park on. */
  parking: atomic(i32),
  /** By slot, 1: that thread holds nothing, and waits for the pause to end, or is offline. */
  resting: array(atomic(i32), SLOTS),
  counts: array(atomic(i32), COUNTERS.length),
  failures: array(atomic(i32), FAILURES.length),
  readerPipe: array(atomic(i32), STEPS),
  readerBatch: array(atomic(i32), STEPS),
  circulation: array(atomic(i32), STEPS),
  standInSequence: atomic(i32),
  standInLock: atomic(i32),
  standInCounts: array(StandInCounts, SLOTS),
  boxes: array(Box, BOXES),
  elements: array(Element, ELEMENTS),
})

export const STATE_NAME = 'torture'
export const BODY_CACHE = 'torture-body'
