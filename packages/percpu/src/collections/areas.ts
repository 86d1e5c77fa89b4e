/**
 * The notes of maps, rings and maps of ranges. Those of all three are made when the first of any is
 * made. They lie in boot memory, of which there may be none left once the heap has been full.
 */
import type { Directory } from '../bootmem/directory.js'
import type { OwnCpu } from '../cpus/own-cpu.js'
import type { SyncLayer } from '../sync/layer.js'
import { MapNote } from './map/map-layout.js'
import { NotesArea, type OwnNote } from './notes-area.js'
import { RangeNote } from './range/range-layout.js'
import { RingNote } from './ring/ring-layout.js'

export const areas = {
  maps: new NotesArea('percpu.maps', MapNote),
  rings: new NotesArea('percpu.rings', RingNote),
  rangeMaps: new NotesArea('percpu.rangeMaps', RangeNote),
} as const

/** This thread's note of one kind. @throws OutOfMemoryError; LockTimeoutError. */
export function useNote(kind: keyof typeof areas, own: OwnCpu, objects: Directory, sync: SyncLayer): OwnNote {
  for (const area of Object.values(areas)) area.make(own, objects)
  return areas[kind].use(own, objects, sync)
}
