/** A worker of map-memory-child.ts: gets its map, looks all names up, and waits. */
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'

/** `none`: the worker alone. */
export type MapKind = 'shared' | 'private' | 'none'
export interface MapMemorySetup {
  readonly kind: MapKind
  readonly handle: MachineHandle
}

export const NAMES = 1_000_000
export function nameOf(number: number): string {
  return `package-${(Math.imul(number, 0x9e3779b1) >>> 0).toString(36)}-${number % 97}`
}

interface Names {
  get(name: string): number | undefined
}
/** Gives the map, so that it can be kept. */
function open({ kind, handle }: MapMemorySetup): Names | undefined {
  if (kind === 'none') return undefined
  if (kind === 'shared') return join(handle).map('names', { key: 'string', value: 'i32' })
  const names = new Map<string, number>()
  for (let i = 0; i < NAMES; i++) names.set(nameOf(i), i)
  return names
}

if (!isMainThread) {
  const names = open(workerData as MapMemorySetup)
  for (let i = 0; names !== undefined && i < NAMES; i++)
    if (names.get(nameOf(i)) !== i) throw new Error(`${nameOf(i)} is not there`)
  globalThis.gc?.()
  parentPort?.on('message', () => names)
  parentPort?.postMessage('open')
}
