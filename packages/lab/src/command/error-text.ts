/** Errors as the command prints them: what is the lab's own is left out. */
import { fileURLToPath } from 'node:url'

const lab = new URL('../..', import.meta.url)
const own = ['dist', 'src'].flatMap((folder) => {
  const url = new URL(`${folder}/`, lab)
  return [url.href, fileURLToPath(url)]
})

/**
 * An error as text: the message alone if it is written for the reader, else the stack. Of a
 * {@link ScenarioError} the message, and the places outside of the lab that led to it.
 *
 * `file`: the one that ended with it, if that is known. It is named where the stack does not lead
 * to a place in it.
 */
export function shown(error: unknown, file?: string): string {
  if (!(error instanceof Error)) return String(error)
  const { code } = error as { code?: unknown }
  if (code === 'LAB_FAILURE') return error.message
  if (code === 'LAB_SCHEDULE') return `percpu-lab: ${error.message}`
  const frames = framesOf(error).filter(isUsers)
  const places = frames.length === 0 && file !== undefined ? [`    in ${file}`] : frames
  if (code === 'LAB_SCENARIO') return [`percpu-lab: ${error.message}`, ...places].join('\n')
  if (error instanceof SyntaxError && frames.length === 0 && file !== undefined)
    return `percpu-lab: ${file}, or what it imports, cannot be read: ${error.message}`
  return error.stack ?? error.message
}

/** Behind the message, which may have lines that look like these. */
function framesOf({ message, stack = '' }: Error): readonly string[] {
  const at = stack.indexOf(message)
  const lines = stack.slice(at < 0 ? 0 : at + message.length).split('\n')
  return lines.filter((line) => /^ +at /.test(line))
}
function isUsers(frame: string): boolean {
  return !/\bnode:/.test(frame) && !own.some((folder) => frame.includes(folder))
}
