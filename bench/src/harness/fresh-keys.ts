/** Times look-ups of strings that are new each time, so that no engine knows their hashes. */
import { timeLoop } from './per-operation.js'
import type { Measure } from './suite.js'

/** Keys that are made before each stretch of look-ups, whose time counts alone. */
const STRETCH = 4096

/** Gives measures of look-ups of the keys `keyOf(0)`, `keyOf(1)` and so on, each a new string. */
export function freshKeys(keyOf: (i: number) => string): (look: (key: string) => number) => Measure {
  let turn = 0
  return (look) => {
    let keys: string[] = []
    const lookUpAll = (count: number): number => {
      let sum = 0
      for (let i = 0; i < count; i++) sum += look(keys[i] ?? '')
      return sum
    }
    return ({ roundTime }) => {
      let time = 0
      let count = 0
      for (; time < roundTime * 1e6; count += STRETCH) {
        keys = Array.from({ length: STRETCH }, () => keyOf(turn++))
        time += timeLoop(lookUpAll, STRETCH)
      }
      return time / count
    }
  }
}
