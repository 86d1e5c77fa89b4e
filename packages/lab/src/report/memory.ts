/**
 * The values of the words of a trace after each event, as far as the trace tells: the page's memory
 * panel.
 */
import { wordKey, writes, reads, type Item } from './model.js'
import { clean, show } from './words.js'

export interface Word {
  readonly name: string
  readonly kind: string
}

/** The value of a word that an event makes known. */
export interface Change {
  /** Index into the words. */
  readonly word: number
  readonly value: string
  /** Index of the event that wrote the value; -1 for the initial value. */
  readonly writer: number
}

/**
 * The words in the order in which they are touched first, and the change of each event. A read may
 * reveal a value.
 */
export function memoryOf(items: readonly Item[]): {
  readonly words: readonly Word[]
  readonly changes: readonly (Change | undefined)[]
} {
  const numbers = new Map<string, number>()
  const words: Word[] = []
  const known = new Map<number, Change>()
  const changes = items.map((item, index) => {
    const { event } = item
    const key = wordKey(event)
    if (key === undefined || !(reads(event) || writes(event))) return undefined
    let word = numbers.get(key)
    if (word === undefined) {
      word = words.push({ name: clean(event.word ?? key), kind: event.kind ?? '' }) - 1
      numbers.set(key, word)
    }
    const change = changeOf(item, index, word, known.get(word))
    known.set(word, change)
    return change
  })
  return { words, changes }
}

function changeOf(
  { event, saw, stale }: Item,
  index: number,
  word: number,
  before: Change | undefined,
): Change {
  if (writes(event)) return { word, value: show(event.wrote), writer: index }
  // A wait's result is not the value of its word, and a stale value is not what the word holds.
  const tells = event.name !== 'wait' && event.read !== undefined && !stale
  if (before && (before.writer >= 0 || !tells)) return before
  return { word, value: tells ? show(event.read) : '?', writer: saw ?? -1 }
}
