/**
 * Answers a file into a file. Workers read and write their parts themselves; this thread only says
 * where in the output each part's answers go: behind those of the part before.
 *
 *     part ──▶ worker reads, answers ──length──▶ its place, once that of the part before is known
 *                                                    └──▶ worker writes
 *
 * A worker that is lost is replaced, and its parts are answered anew: as long, in the same place.
 */
import { MalformedInputError } from '../errors.js'
import type { FilePart } from './file-part.js'
import type { PlaceOf } from './jobs.js'
import type { BatchFormat } from './protocol.js'

export interface PartRunner {
  runPart(part: FilePart, format: BatchFormat, output: number, place: PlaceOf): Promise<undefined>
}

export interface PartsOptions {
  readonly format: BatchFormat
  /** Bytes of a part. */
  readonly partBytes: number
  /** Parts under way at once. */
  readonly window: number
  /** Told of bytes whose answers are written. */
  readonly onBytes: (bytes: number) => void
}

/** Where the answers so far end, in bytes and in lines of the input. */
interface End {
  readonly position: number
  readonly lines: number
}

/**
 * Answers the first `size` bytes of a file, and resolves with the position behind the answers. Both
 * files are let go when it settles.
 *
 * @param input descriptor of the file
 * @param position where the answers begin in `output`
 * @throws MalformedInputError, PartError, WorkerLostError: of the first part that has one
 */
export async function answerParts(
  runner: PartRunner,
  input: { readonly descriptor: number; readonly size: number },
  output: { readonly descriptor: number; readonly position: number },
  { format, partBytes, window, onBytes }: PartsOptions,
): Promise<number> {
  const { descriptor, size } = input
  const underWay = new Set<Promise<unknown>>()
  let end: Promise<End> = Promise.resolve({ position: output.position, lines: 0 })
  let failure: unknown
  const start = (part: FilePart): void => {
    const before = end
    let written: Promise<unknown> = Promise.resolve()
    end = new Promise<End>((resolve, reject) => {
      const place: PlaceOf = async ({ length, lines, fault }) => {
        const at = await before
        if (fault) throw malformed(at.lines + fault.line, fault.message)
        resolve({ position: at.position + length, lines: at.lines + lines })
        return at.position
      }
      written = runner.runPart(part, format, output.descriptor, place)
      // What went wrong before is told, not what came of it.
      written.catch((error: unknown) => {
        failure ??= error
        before.then(() => reject(error as Error), reject)
      })
    })
    const settled = Promise.allSettled([written]).then(([{ status }]) => {
      if (status === 'fulfilled') onBytes(part.to - part.from)
      underWay.delete(settled)
    })
    underWay.add(settled)
    end.catch(() => undefined)
  }
  for (let from = 0; from < size && failure === undefined; from += partBytes) {
    while (underWay.size >= window) await Promise.race(underWay)
    start({ input: descriptor, from, to: Math.min(size, from + partBytes) })
  }
  await Promise.all(underWay)
  const { position } = await end
  // All were answered, and one was not written.
  if (failure !== undefined) throw failure as Error
  return position
}

function malformed(line: number, message: string): MalformedInputError {
  return new MalformedInputError(`line ${line} is ${message}`, { item: line })
}
