/**
 * The verifier: checks all equations of layouts.ts, by working out anew what follows from the
 * bitmaps. For tests, and for whoever suspects corruption. Takes the lock; changes nothing.
 */
import { load32 } from '#mem'
import { PercpuCorruptionError } from './errors.js'
import { FAIL_THRESHOLD, SLOT_WORDS } from './geometry.js'
import { CHUNK_ISOLATED, CHUNK_RESERVED, PercpuChunk, PercpuRoot, PercpuSlot } from './layouts.js'
import { repair } from './operation.js'
import type { AllocatorState } from './state.js'
import { Faults } from './faults.js'
import { checkChunk, nameOfChunk } from './verify-chunk.js'
import { checkTables } from './verify-tables.js'

const { words: fields } = PercpuRoot
const { words: chunkFields } = PercpuChunk
/** How many faults the message of the error names; all are in its details. */
const NAMED_FAULTS = 5

/** @throws PercpuCorruptionError with all faults; LockTimeoutError. */
export function verify(state: AllocatorState): void {
  const faults = findFaults(state)
  if (faults.length === 0) return
  const more = faults.length > NAMED_FAULTS ? `; and ${faults.length - NAMED_FAULTS} more` : ''
  throw new PercpuCorruptionError(
    `the per-CPU allocator contradicts itself: ${faults.slice(0, NAMED_FAULTS).join('; ')}${more}`,
    { faults },
  )
}

/** Every equation that does not hold; none if all is well. */
export function findFaults(state: AllocatorState): readonly string[] {
  const { locked, tables, memory } = state
  locked.lock(tables.root + fields.lock)
  try {
    repair(state)
    const faults = new Faults()
    const records = [...state.records()].filter((record) => record * 4 < memory.byteLength)
    checkRoot(state, faults, records)
    const owners = new Map<number, string>()
    const { tables: pageTables } = state.backend
    if (pageTables && !checkTables(state, pageTables, faults, owners)) return faults.texts
    for (const chunk of records) checkChunk(state, faults, chunk, owners)
    checkSlots(state, faults, records)
    return faults.texts
  } finally {
    locked.unlock()
  }
}

function checkRoot(state: AllocatorState, faults: Faults, records: readonly number[]): void {
  const { locked, tables, geometry, memory } = state
  const get = (field: number): number => locked.get(tables.root + field)
  const sum = (chunks: readonly number[], field: number): number =>
    chunks.reduce((total, chunk) => total + locked.get(chunk + field), 0)
  const registered = get(fields.registered)
  let registry = 0
  for (let index = 0; index < geometry.capacity; index++) {
    if (load32(memory.i32, tables.registry + index) === 0) continue
    registry++
    if (index >= registered)
      faults.add('root.registered', 'root', `chunk ${index} is not below ${registered}`)
  }
  faults.expect('root.chunks', 'root', 'chunks', get(fields.chunks), registry)
  if (registered < get(fields.chunks) || registered > geometry.capacity)
    faults.add('root.registered', 'root', `registered is ${registered}`)
  const ordinary = records.filter((chunk) => !state.is(chunk, CHUNK_RESERVED))
  const populated = sum(ordinary, chunkFields.populated)
  faults.expect('root.populated', 'root', 'populatedPages', get(fields.populatedPages), populated)
  const counted = records.filter((chunk) => state.isCounted(chunk))
  const empty = sum(counted, chunkFields.empty)
  faults.expect('root.empty', 'root', 'emptyPages', get(fields.emptyPages), empty)
}

function checkSlots(state: AllocatorState, faults: Faults, records: readonly number[]): void {
  const { locked, tables, geometry } = state
  const mask = locked.get(tables.root + fields.slotsInUse)
  const listed = new Set<number>()
  for (let slot = 0; slot < geometry.slots; slot++) {
    checkList(state, faults, slot, new Set(records), listed)
    const inUse = state.slots.first(slot) === 0 ? 0 : 1
    faults.expect('root.slots', `slot ${slot}`, 'the bit in slotsInUse', (mask >>> slot) & 1, inUse)
  }
  if (mask >>> geometry.slots !== 0) faults.add('root.slots', 'root', `slotsInUse is ${mask}`)
  for (const chunk of records)
    if (!listed.has(chunk) && !state.is(chunk, CHUNK_RESERVED))
      faults.add('slot.member', nameOfChunk(state, chunk), 'in no list')
}

/** One list. `listed`: the chunks in the lists before it. */
function checkList(
  state: AllocatorState,
  faults: Faults,
  slot: number,
  records: ReadonlySet<number>,
  listed: Set<number>,
): void {
  const { slots, locked, tables } = state
  let before = 0
  for (let chunk = slots.first(slot); chunk !== 0; chunk = slots.next(chunk)) {
    if (!records.has(chunk) || listed.has(chunk)) {
      faults.add('slot.list', `slot ${slot}`, `leads to ${chunk}, which is no chunk or in two lists`)
      return
    }
    listed.add(chunk)
    const name = nameOfChunk(state, chunk)
    if (state.is(chunk, CHUNK_RESERVED)) faults.add('slot.member', name, 'reserved, but in a list')
    faults.expect('slot.list', name, 'previous', locked.get(chunk + chunkFields.previous), before)
    faults.expect('slot.member', name, 'slot', slots.slot(chunk), slot)
    checkSize(state, faults, name, chunk, slot)
    before = chunk
  }
  const last = locked.get(tables.slots + slot * SLOT_WORDS + PercpuSlot.words.last)
  faults.expect('slot.list', `slot ${slot}`, 'last', last, before)
}

function checkSize(state: AllocatorState, faults: Faults, name: string, chunk: number, slot: number): void {
  const { geometry, locked } = state
  const isAside = slot === geometry.sidelined || slot === geometry.depopulate
  if (isAside !== state.is(chunk, CHUNK_ISOLATED))
    faults.add('slot.size', name, `isolated, or in slot ${slot}`)
  if (isAside) return
  const run = locked.get(chunk + chunkFields['whole.contig'])
  const bySize = run === 0 ? 0 : geometry.slotOf(run)
  if (slot !== bySize && !(slot === 0 && bySize < FAIL_THRESHOLD))
    faults.add('slot.size', name, `in slot ${slot}, should be in slot ${bySize}`)
}
