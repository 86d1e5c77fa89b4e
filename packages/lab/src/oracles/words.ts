/** Words as texts, for messages. */
import { BYTES } from '../engine/views.js'
import type { World } from '../engine/world.js'
import type { Names } from '../scenario/names.js'

/** The words that steps touch, each once. */
export function wordsOf({ history }: World, names: Names, steps: readonly number[]): string {
  const words = steps.map((step) => {
    const view = history.view[step]
    if (view === undefined) return 'something'
    const index = history.index[step] as number
    return names.describe(view.shadow, view.form === BYTES ? index : index * 2 ** view.shift).name
  })
  return [...new Set(words)].join(', ') || 'what never changes'
}
