/** A domain as watchers see it. */
import { loadU32 } from '#mem'
import { periodsOf } from '../cpus/sequence.js'
import type { GracePeriodSnapshot, SectionInspection } from '../watch/grace-periods.js'
import { HANDED_OVER, WAIT } from './debug-layouts.js'
import type { Note } from './debug-notes.js'
import { FAST, SrcuLayout } from './srcu-layouts.js'
import type { SrcuWords } from './srcu-words.js'

/** `notes`: those of the debug mode, if there are any. */
export function inspectDomain(
  words: SrcuWords,
  domain: string,
  notes: readonly Note[],
): Omit<GracePeriodSnapshot, 'callbacks'> {
  const { sequence, isWanted, handedOver } = words
  const open = words.parts.map((_, cpu) => words.openOf(cpu))
  const isFast = loadU32(words.memory.u32, words.words + SrcuLayout.words.flavour) === FAST
  return {
    domain,
    key: words.words,
    flavour: isFast ? 'fast' : 'normal',
    ended: periodsOf(sequence),
    isWanted,
    cpus: [...open.keys()].filter((cpu) => (open[cpu] ?? 0) > 0),
    sections: open.reduce((sum, count) => sum + count, handedOver),
    handedOver,
    oldest: oldestOf(notes.filter(({ kind, domain: at }) => kind !== WAIT && at === words.words)),
  }
}

function oldestOf(sections: readonly Note[]): SectionInspection | undefined {
  const [first] = [...sections].sort((one, other) => one.since - other.since)
  return (
    first && {
      since: first.since,
      cpu: first.cpu,
      isHandedOver: first.kind === HANDED_OVER,
      lockedAt: first.text,
    }
  )
}
