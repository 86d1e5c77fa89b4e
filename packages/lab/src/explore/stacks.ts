/** The places in the code of a CPU that its steps came from. */
import { fileURLToPath } from 'node:url'
import type { Process } from '../engine/process.js'
import { sourcePlace } from './source-places.js'

/** Keeps the stack of each step of one execution. */
export class StackRecorder {
  private readonly stacks: string[] = []
  /** Called in the hook of an access, which will be the next step of `process`. */
  arrive(process: Process): void {
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 40
    this.pending.set(process, new Error().stack ?? '')
    Error.stackTraceLimit = stackTraceLimit
  }
  private readonly pending = new Map<Process, string>()
  /** Called when the step is taken. */
  take(process: Process, step: number): void {
    this.stacks[step] = this.pending.get(process) ?? ''
    this.pending.delete(process)
  }
  at(step: number): readonly string[] {
    return parse(this.stacks[step] ?? '')
  }
}

const ownFolder = new URL('..', import.meta.url).href
/** The lab's own code in source maps, which exploring foreign code switches on. */
const ownSources = fileURLToPath(new URL('../../src/', import.meta.url))

/** The frames of a stack that are not the lab's own: `name (file:line:column)`, in the sources. */
function parse(stack: string): string[] {
  const frames: string[] = []
  for (const line of stack.split('\n').slice(1)) {
    const frame = line.trim().replace(/^at /, '')
    if ([ownFolder, ownSources, 'node:'].some((place) => frame.includes(place))) continue
    const named = /^(.*) \((.*)\)$/.exec(frame)
    const [name, place] = named === null ? ['', frame] : [named[1] ?? '', named[2] ?? '']
    frames.push(`${name === '' ? 'body' : name} (${sourcePlace(place.replace(/^file:\/\//, ''))})`)
  }
  return frames
}
