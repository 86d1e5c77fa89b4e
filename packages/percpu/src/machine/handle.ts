/**
 * The handle of a machine: one thread passes it to another one, which checks it before it joins.
 */
import { loadAtomic32, loadU32, openMemory, type Memory } from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import { BadHandleError, ForeignBufferError, TruncatedBufferError, VersionMismatchError } from './errors.js'
import { isSafely } from './check.js'
import { Header, layoutHash } from './layouts.js'
import { FORMAT_VERSION, MAGIC, UNIT } from './limits.js'

/** What `join` needs of a machine; survives `structuredClone`, `workerData` and `postMessage`. */
export interface MachineHandle {
  readonly type: 'percpu.machine'
  readonly version: number
  readonly layoutHash: number
  readonly buffer: SharedArrayBuffer
}

/** The handle of the machine in this buffer. */
export function makeHandle(buffer: SharedArrayBuffer): MachineHandle {
  return { type: 'percpu.machine', version: FORMAT_VERSION, layoutHash, buffer }
}

/** Checks a handle from outside and opens its memory. Writes nothing. */
export function openHandle(handle: MachineHandle): Memory {
  checkHandle(handle)
  const { byteLength } = handle.buffer
  if (byteLength < Header.size || byteLength % UNIT !== 0) {
    throw new TruncatedBufferError(
      `a buffer of ${byteLength} bytes cannot hold a machine: machines have at least ${Header.size}, and multiples of ${UNIT}`,
      { byteLength },
    )
  }
  const memory = openBuffer(handle)
  // B(header.ready) pairs with A in publishHeader: after it every published word of the header may
  // be read. Mutant: machine/ready-first.
  const ready = loadAtomic32(memory.i32, Header.words.ready) === 1
  // Before that, somebody may be writing it.
  const magic = ready ? loadU32(memory.u32, Header.words.magic) : undefined
  if (magic !== MAGIC) {
    throw new ForeignBufferError('the buffer does not begin with the header page of a percpu machine', {
      expected: MAGIC,
      found: magic,
    })
  }
  checkFormat(
    loadU32(memory.u32, Header.words.version),
    loadU32(memory.u32, Header.words.layoutHash),
    'the machine in this buffer',
  )
  const needed = loadU32(memory.u32, Header.words.units) * UNIT
  if (byteLength < needed) {
    throw new TruncatedBufferError(
      `the machine takes ${needed} bytes, but the buffer has only ${byteLength}`,
      {
        expected: needed,
        found: byteLength,
      },
    )
  }
  return memory
}

function openBuffer(handle: MachineHandle): Memory {
  try {
    return openMemory(handle.buffer, PAGE_BYTES)
  } catch (error) {
    throw new BadHandleError('the buffer of the handle is no SharedArrayBuffer', { handle }, { cause: error })
  }
}

function checkHandle(handle: Partial<MachineHandle>): void {
  if (!isSafely(() => Object(handle) === handle && handle.type === 'percpu.machine')) {
    throw new BadHandleError("not a machine handle: pass the other thread's `machine.handle`, as it is", {
      handle,
    })
  }
  // Not instanceof: the buffer may come from another realm.
  if (Object.prototype.toString.call(handle.buffer) !== '[object SharedArrayBuffer]') {
    throw new BadHandleError(
      'the handle has lost its SharedArrayBuffer: pass it by workerData or postMessage, not as JSON',
      {
        handle,
      },
    )
  }
  checkFormat(handle.version, handle.layoutHash, 'the handle')
}

function checkFormat(version: number | undefined, hash: number | undefined, what: string): void {
  if (version === FORMAT_VERSION && hash === layoutHash) return
  throw new VersionMismatchError(
    `${what} has format ${version} (layout ${hash?.toString(16)}), this percpu has format ${FORMAT_VERSION} (layout ` +
      `${layoutHash.toString(16)}): all threads of a machine must load the same version of percpu`,
    { expected: FORMAT_VERSION, found: version, expectedLayout: layoutHash, foundLayout: hash },
  )
}
