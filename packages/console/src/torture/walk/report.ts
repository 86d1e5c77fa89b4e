/** The verdict on walks, for people. */
import { counters } from './board.js'
import type { WalkResult } from './run.js'

export function reportWalks(result: WalkResult): string {
  const { options, counts, kills, seconds, verdict, notes } = result
  const { readers, writers, seed } = options
  const found = Object.entries(result.failures).map(([failure, count]) => `${failure} ×${count}`)
  const lines = [
    `walk: ${readers} readers, ${writers} mappers, seed ${seed}${options.kill ? ' --kill' : ''}, ${seconds} s`,
    `  ${counters.map((name) => `${counts[name]} ${name}`).join(', ')}; ${kills} threads killed`,
    ...notes.map((note) => `!!! ${note}`),
    `walk: ${verdict}${found.length > 0 ? `: ${found.join(', ')}` : ''}`,
  ]
  return `${lines.join('\n')}\n`
}
