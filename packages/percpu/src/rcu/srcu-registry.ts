/**
 * Where the domains are that lie in structs of users: a table of words, each the word index of one
 * domain, or 0. Reapers go through it. A full table is followed by another one.
 *
 * A slot is taken and given back by one compare-and-exchange. A thread that dies before it has
 * entered its domain has not shown it to anybody, and leaves its parts allocated.
 */
import { addAtomic32, compareExchangeAtomic32, loadAtomic32, storeU32, type Memory } from '#mem'
import type { Directory } from '../bootmem/directory.js'
import { ObjectMissingError } from '../machine/errors.js'
import { REGISTRY_SLOTS, SrcuLayout, SrcuRegistry } from './srcu-layouts.js'

const spec = { type: SrcuRegistry.name, layout: SrcuRegistry }
const SLOTS = REGISTRY_SLOTS
const nameOf = (table: number): string => `percpu.srcu.${table}`

/** Enters a domain, once, under a number that no other one has. @throws OutOfMemoryError. */
export function register({ i32, u32 }: Memory, objects: Directory, words: number): void {
  const serials = objects.openOrCreate(nameOf(0), spec) / 4 + SrcuRegistry.words.serials
  // atomic: a counter.
  storeU32(u32, words + SrcuLayout.words.serial, addAtomic32(i32, serials, 1))
  for (let table = 0; ; table++) {
    const first = objects.openOrCreate(nameOf(table), spec) / 4
    for (let slot = first; slot < first + SLOTS; slot++) {
      // SQ(srcu.registry) pairs with SR in slots: the domain is complete, and its readers are
      // the reaper's to end. Mutant: rcu/srcu-not-registered.
      if (loadAtomic32(i32, slot) === 0 && compareExchangeAtomic32(i32, slot, 0, words) === 0) return
    }
  }
}

/** Takes a domain out again, if it is there. */
export function unregister(memory: Memory, objects: Directory, words: number): void {
  for (const [slot, found] of slots(memory, objects)) {
    // atomic: its parts are not freed before.
    if (found === words) compareExchangeAtomic32(memory.i32, slot, words, 0)
  }
}

/** The word indices of all domains that are entered. */
export function registered(memory: Memory, objects: Directory): number[] {
  return [...slots(memory, objects)].map(([, words]) => words)
}

function* slots({ i32 }: Memory, objects: Directory): Generator<[slot: number, words: number]> {
  for (let table = 0; ; table++) {
    const first = find(objects, table)
    if (first === undefined) return
    for (let slot = first; slot < first + SLOTS; slot++) {
      // SR(srcu.registry) pairs with SQ in register: what is found is a complete domain. Mutant:
      // rcu/srcu-not-registered.
      const words = loadAtomic32(i32, slot)
      if (words !== 0) yield [slot, words]
    }
  }
}

function find(objects: Directory, table: number): number | undefined {
  try {
    return objects.open(nameOf(table), spec) / 4
  } catch (error) {
    if (error instanceof ObjectMissingError) return undefined
    throw error
  }
}
