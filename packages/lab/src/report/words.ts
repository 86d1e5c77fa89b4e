/**
 * Events and values in words, for both diagrams: `add count 0 → 1`, `load flag = 1`, `mp.ts:12`.
 */
import type { TraceEvent, TraceProcess } from '../trace.js'

type Value = TraceEvent['read']

/** The event in a few words. `process` is the one that made it. */
export function describe(event: TraceEvent, process: TraceProcess | undefined): string {
  const word = clean(event.word ?? '')
  const read = show(event.read)
  const wrote = show(event.wrote)
  switch (event.name) {
    case 'load':
      return `load ${word}${read && ` = ${read}`}`
    case 'store':
      return `store ${word}${wrote && ` = ${wrote}`}`
    case 'add':
    case 'sub':
    case 'and':
    case 'or':
    case 'xor':
    case 'exchange':
      return `${event.name} ${word} ${read || '?'} → ${wrote || '?'}`
    case 'compareExchange':
      return failed(event)
        ? `compareExchange ${word} = ${read || '?'}, kept`
        : `compareExchange ${word} ${read || '?'} → ${wrote}`
    case 'fill':
      return `fill ${word}${wrote && ` with ${wrote}`}${bytes(event)}`
    case 'copyIn':
      return `copy in ${word}${wrote && ` = ${wrote}`}${bytes(event)}`
    case 'copyOut':
      return `copy out ${word}${read && ` = ${read}`}${bytes(event)}`
    case 'wait':
    case 'wake':
    case 'notify':
    case 'choose':
      return `${event.name}${word && ` ${word}`}${read && `: ${read}`}`
    case 'spin':
      return `spin${word && ` on ${word}`}${read && ` = ${read}`}`
    case 'enter':
      return clean(process?.name ?? 'handler')
    case 'leave':
      return `end of ${clean(process?.name ?? 'handler')}`
    case 'ipi':
      return event.target === undefined ? 'send IPI' : `send IPI to CPU ${event.target}`
    case 'mask':
      return 'mask interrupts'
    case 'unmask':
      return 'unmask interrupts'
    case 'turn':
      return `turn of the event loop${word && `: ${word}`}`
    case 'exit':
      return 'exit'
    case 'kill':
      return 'KILLED'
    case 'timeout':
      return `time runs out${word && `: ${word}`}`
    case 'allocate':
    case 'free':
      return `${event.name}${word && ` ${word}`}${bytes(event)}`
    default:
      return `${event.name}${word && ` ${word}`}`
  }
}

/**
 * Whether it is a compareExchange that found another value than it expected. Such an event wrote
 * nothing; some say that it wrote the value that was there.
 */
export function failed(event: TraceEvent): boolean {
  return event.name === 'compareExchange' && (event.wrote === undefined || event.wrote === event.read)
}

function bytes(event: TraceEvent): string {
  return event.bytes > 0 ? `, ${event.bytes} bytes` : ''
}

/** A value as text; '' for none. A string is shown as it is. */
export function show(value: Value): string {
  return value === undefined ? '' : Object.is(value, -0) ? '-0' : clean(String(value))
}

/**
 * The text with control and formatting characters written out: a name can neither move the cursor
 * nor hide text.
 */
export function clean(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`,
  )
}

/** A frame `functionName (file:line:column)` taken apart. */
export interface Frame {
  readonly name: string
  /** Last part of the path. */
  readonly file: string
  readonly line: number | undefined
}

/** Takes apart one line of a stack. A line that it does not understand is all `name`. */
export function parseFrame(frame: string): Frame {
  const [, named, inParentheses] = /^\s*(?:at )?(.*?) \((.*)\)$/.exec(frame) ?? []
  const place = inParentheses ?? frame.replace(/^\s*(?:at )?(?:async )?/, '')
  const [, path, line] = /^(.*?):(\d+)(?::\d+)?$/.exec(place) ?? []
  if (path === undefined || line === undefined)
    return { name: clean(frame.trim()), file: '', line: undefined }
  const file = path.split(/[/\\]/).at(-1) ?? path
  return { name: clean(named ?? ''), file: clean(file), line: Number(line) }
}

/** Frames of the library's accessors (`m.flag.load()`): every access happens there. */
const accessor = /[/\\]percpu[/\\](?:dist|src)[/\\]layout[/\\]/

/** The place of an event in the source, in short: `peterson.ts:12`; '' if it is unknown. */
export function place(event: TraceEvent): string {
  const frame = event.stack.find((one) => !accessor.test(one)) ?? event.stack[0]
  if (frame === undefined) return ''
  const { name, file, line } = parseFrame(frame)
  return line === undefined ? name : `${file}:${line}`
}
