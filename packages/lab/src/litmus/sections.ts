/**
 * Full barriers, grace periods and read sections of one candidate execution, as choices between
 * pairs of happens-before.
 *
 * - Full barriers are read-modify-writes of one word of their own: happens-before orders each two.
 *   It also orders the beginnings and ends of the grace periods of one domain. RCU is one domain,
 *   each srcu_struct another.
 * - Each grace period has a choice for each read section of its domain. Either the end of the
 *   section happens before the end of the grace period, or the beginning of the grace period
 *   happens before the beginning of the section. A section that never ends leaves the second.
 * - An smp_memb is two full barriers, and a grace period for which each single access of another
 *   process is a section.
 */
import type { Choice } from './relation.js'
import type { LitmusEvent } from './traces.js'

export interface PlacedEvent extends LitmusEvent {
  /** Position in the execution, from 0. */
  readonly id: number
  readonly process: number
}

interface Section {
  readonly domain: number
  readonly lock: number
  unlock: number | undefined
}

export interface Orderings {
  readonly choices: Choice[]
  /** Misuse of read sections, in the words of the kernel's model. */
  readonly misuse: string[]
}

export function orderingsOf(events: readonly PlacedEvent[]): Orderings {
  const { sections, misuse } = sectionsOf(events)
  const choices = [...barrierChoices(events), ...membarrierChoices(events)]
  for (const begin of events) {
    if (begin.kind !== 'rcu begin' && begin.kind !== 'srcu begin') continue
    const end = begin.id + 1
    for (const { domain, lock, unlock } of sections) {
      if (domain !== begin.variable) continue
      // Without an end of the section, the first pair is an impossible one.
      choices.push({ from: unlock ?? end, to: end, orFrom: begin.id, orTo: lock })
    }
  }
  return { choices, misuse }
}

/**
 * Choices for barriers and grace periods. RCU's events have the variable -1, which no srcu_struct
 * has.
 */
function barrierChoices(events: readonly PlacedEvent[]): Choice[] {
  const words = new Map<string, PlacedEvent[]>()
  for (const event of events) {
    const { kind, variable } = event
    const isBarrier = kind === 'fence' || kind === 'membarrier begin' || kind === 'membarrier end'
    const word = isBarrier ? 'fence' : / (begin|end)$/.test(kind) ? `grace periods of ${variable}` : undefined
    if (word !== undefined) words.set(word, [...(words.get(word) ?? []), event])
  }
  const choices: Choice[] = []
  for (const users of words.values())
    users.forEach(({ id: from }, index) => {
      for (const { id: to } of users.slice(index + 1)) choices.push({ from, to, orFrom: to, orTo: from })
    })
  return choices
}

/** Each access of another process comes before the end of an smp_memb, or after its beginning. */
function membarrierChoices(events: readonly PlacedEvent[]): Choice[] {
  return events
    .filter(({ kind }) => kind === 'membarrier begin')
    .flatMap(({ id: begin, process }) =>
      events
        .filter((event) => event.process !== process && event.process >= 0 && isAccess(event))
        .map(({ id }) => ({ from: id, to: begin + 1, orFrom: begin, orTo: id })),
    )
}
function isAccess({ kind }: PlacedEvent): boolean {
  return kind === 'load' || kind === 'store' || kind === 'modify'
}

function sectionsOf(events: readonly PlacedEvent[]): { sections: Section[]; misuse: string[] } {
  const misuse = new Set<string>()
  const sections: Section[] = []
  const srcu = new Map<string, Section>()
  let nesting: { process: number; depth: number; section: Section } | undefined
  for (const { kind, id, process, variable: domain, cookie } of events) {
    if (kind === 'srcu lock') {
      const section: Section = { domain, lock: id, unlock: undefined }
      sections.push(section)
      srcu.set(`${domain} ${cookie}`, section)
    } else if (kind === 'rcu lock') {
      // Sections of one task nest: the outermost one counts.
      if (nesting?.process === process && nesting.depth > 0) nesting.depth++
      else {
        const section: Section = { domain, lock: id, unlock: undefined }
        sections.push(section)
        nesting = { process, depth: 1, section }
      }
    } else if (kind === 'rcu unlock') {
      if (nesting?.process !== process || nesting.depth === 0) misuse.add('unbalanced-rcu-locking')
      else if (--nesting.depth === 0) nesting.section.unlock = id
    }
  }
  for (const { kind, id, variable: domain, cookie } of events) {
    if (kind !== 'srcu unlock') continue
    const section = srcu.get(`${domain} ${cookie}`)
    if (section === undefined) misuse.add('unbalanced-srcu-locking')
    else if (section.unlock !== undefined) misuse.add('srcu-bad-nesting')
    else section.unlock = id
  }
  for (const { unlock, domain } of sections)
    if (unlock === undefined) misuse.add(domain < 0 ? 'unbalanced-rcu-locking' : 'unbalanced-srcu-locking')
  return { sections, misuse: [...misuse] }
}
