/**
 * The texts above and below the text diagram: the failure, the stacks, the waits, and the call that
 * replays it.
 */
import type { Trace, TraceEvent } from '../trace.js'
import type { Model } from './model.js'
import { commandLines } from './shell.js'
import { Line, pieces, textWidth, wrap, type Style } from './text.js'
import { clean, describe } from './words.js'

const title: Style = ['bold', 'red']

/** The test's name and the failure in a sentence. */
export function head(trace: Trace, width: number): Line[] {
  const { failure } = trace
  const name = clean(trace.test)
  if (!failure) return [...paragraph(`${name}: no failure`, width, 'bold'), new Line()]
  return [
    ...paragraph(`${name}: ${failure.kind}`, width, title),
    ...paragraph(failure.message, width),
    new Line(),
  ]
}

/** Everything below the drawing. */
export function tail(trace: Trace, model: Model, width: number, command: string | undefined): Line[] {
  const sections = [...details(trace, width), legend(model, width), replay(trace, width, command)].filter(
    (section) => section.length > 0,
  )
  return sections.flatMap((section, index) => (index === 0 ? section : [new Line(), ...section]))
}

function details(trace: Trace, width: number): Line[][] {
  const { failure } = trace
  if (!failure) return []
  const sections: Line[][] = []
  const { race } = failure
  if (race) {
    sections.push(
      paragraph(
        `Nothing orders step ${race.first} before step ${race.second} (${race.rule}): ${clean(race.missing)}`,
        width,
      ),
      stackOf(trace, race.first, 'first access', width),
      stackOf(trace, race.second, 'second access', width),
    )
  }
  if (failure.stuck.length > 0) sections.push(stuck(trace, width))
  const last = trace.events.at(-1)
  if (!race && failure.stuck.length === 0 && last)
    sections.push(stackOf(trace, last.step, 'last step', width))
  return sections
}

function stuck(trace: Trace, width: number): Line[] {
  const lines = [new Line().add('Waiting for ever:', 'bold')]
  for (const { process, waitsFor } of trace.failure?.stuck ?? []) {
    const last = trace.events.findLast((event) => event.process === process)
    lines.push(...paragraph(`${nameOf(trace, process)} waits for ${clean(waitsFor)}`, width, undefined, 2))
    if (last) lines.push(...frames(last, width, 4, ` (step ${last.step})`))
  }
  return lines
}

function stackOf(trace: Trace, step: number, what: string, width: number): Line[] {
  const event = trace.events.find((candidate) => candidate.step === step)
  if (!event) return []
  const process = trace.processes.find(({ id }) => id === event.process)
  const order = event.order === 'none' ? '' : `${event.order} `
  const did = describe(event, process)
  return [
    ...paragraph(`${what}, step ${step}, ${nameOf(trace, event.process)}: ${order}${did}`, width, 'bold'),
    ...frames(event, width, 2, ''),
  ]
}

function frames(event: TraceEvent, width: number, indentation: number, suffix: string): Line[] {
  return event.stack.flatMap((frame, index) =>
    paragraph(`at ${clean(frame)}${index === 0 ? suffix : ''}`, width, 'dim', indentation),
  )
}

function nameOf(trace: Trace, process: number): string {
  return clean(trace.processes.find(({ id }) => id === process)?.name ?? `process ${process}`)
}

function legend({ items }: Model, width: number): Line[] {
  const parts = [
    items.some(({ event }) => event.order === 'atomic') && '● atomic',
    items.some(({ event }) => event.order === 'plain') && '○ plain',
    items.some(({ saw, process, stale }) => stale || (items[saw ?? -1]?.process ?? process) !== process) &&
      '←n reads what step n wrote',
  ].filter((part) => part !== false)
  return parts.length === 0 ? [] : paragraph(parts.join('   '), width, 'dim')
}

/**
 * The call that runs exactly this execution again. A schedule too long for a line becomes a sum of
 * strings.
 */
function replay(trace: Trace, width: number, command: string | undefined): Line[] {
  const schedule = quoted(trace.schedule, width - 8)
  const call = `explore(${JSON.stringify(clean(trace.test))}, scenario, {`
  const single = schedule[0] ?? "''"
  const oneLine = `${call} replay: ${single} })`
  const lines = [new Line().add('Replay with', 'bold')]
  if (schedule.length === 1 && textWidth(oneLine) + 2 <= width) lines.push(new Line().add(`  ${oneLine}`))
  else {
    lines.push(...paragraph(call, width, undefined, 2), new Line().add('    replay:'))
    for (const [index, part] of schedule.entries())
      lines.push(new Line().add(`      ${part}${index < schedule.length - 1 ? ' +' : ','}`))
    lines.push(new Line().add('  })'))
  }
  if (command !== undefined)
    lines.push(...commandLines(clean(command), width).map((line) => new Line().add(line)))
  return lines
}

/** A schedule as one or more string literals, each of at most `width` columns. */
function quoted(schedule: string, width: number): string[] {
  const literal = (text: string) => `'${text.replace(/[\\']/g, '\\$&')}'`
  const text = clean(schedule)
  if (textWidth(literal(text)) <= width) return [literal(text)]
  const room = /[\\']/.test(text) ? Math.floor((width - 2) / 2) : width - 2
  return pieces(text, room).map(literal)
}

function paragraph(text: string, width: number, style?: Style, indentation = 0): Line[] {
  return text
    .split('\n')
    .flatMap((part) => wrap(clean(part), width - indentation))
    .map((part) => new Line().add(' '.repeat(indentation)).add(part, style))
}
