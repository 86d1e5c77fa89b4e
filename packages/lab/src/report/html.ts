/**
 * The space-time diagram of one execution as a page to step through: one self-contained HTML file
 * without network access, for light and dark, keyboard and screen reader. Its script
 * (page/viewer.js) adds the steps, the memory panel and the arrows. Without scripts the page is the
 * diagram, the stacks and the schedule.
 *
 * Everything from the trace is escaped. The page's own policy allows exactly its one script and its
 * one style sheet.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Trace } from '../trace.js'
import { memoryOf } from './memory.js'
import { modelOf, type Item, type Model } from './model.js'
import { clean, describe } from './words.js'

const asset = (name: string) => readFileSync(new URL(`../../page/${name}`, import.meta.url), 'utf8')

/** The data of the page's script; see page/viewer.js. */
interface PageData {
  readonly items: readonly {
    readonly step: number
    readonly process: string
    readonly text: string
    readonly order: string
    readonly kind: string
    readonly place: string
    readonly stack: readonly string[]
    readonly saw: number | null
    readonly stale: boolean
    readonly mark: string
    readonly change: { readonly word: number; readonly value: string; readonly writer: number } | null
  }[]
  readonly words: readonly { readonly name: string; readonly kind: string }[]
  /** Index of the event at which the page begins. */
  readonly start: number
  /** Indices of the racing events. */
  readonly race: readonly number[]
}

/** The page as one string. */
export function page(trace: Trace): string {
  const model = modelOf(trace)
  const style = `${asset('viewer.css')}${columns(model)}`
  const script = asset('viewer.js')
  const policy = `default-src 'none'; style-src '${hash(style)}'; script-src '${hash(script)}'; base-uri 'none'; form-action 'none'`
  const { failure } = trace
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${escape(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escape(trace.test)}: ${escape(failure?.kind ?? 'no failure')}</title>
<style>${style}</style>
</head>
<body>
<header>
<h1>${escape(trace.test)}</h1>
<p class="verdict${failure ? ' failed' : ''}"><strong>${escape(failure?.kind ?? 'no failure')}</strong> ${escapeLines(failure?.message ?? '')}</p>
</header>
${controls(model)}
<main>
${drawing(model)}
${panels()}
</main>
${sections(trace)}
<script type="application/json" id="data">${jsonForScript(dataOf(model))}</script>
<script>${script}</script>
</body>
</html>
`
}

function controls({ items }: Model): string {
  const last = Math.max(0, items.length - 1)
  return `<nav id="controls" aria-label="Steps" hidden>
<button type="button" data-to="first" aria-keyshortcuts="Home">First</button>
<button type="button" data-to="previous" aria-keyshortcuts="ArrowUp ArrowLeft">Previous</button>
<button type="button" data-to="next" aria-keyshortcuts="ArrowDown ArrowRight">Next</button>
<button type="button" data-to="last" aria-keyshortcuts="End">Last</button>
<button type="button" data-to="marked" aria-keyshortcuts="M">Next marked</button>
<label>Step <input id="slider" type="range" min="0" max="${last}" value="0"></label>
<p id="status" role="status"></p>
</nav>`
}

function drawing(model: Model): string {
  const { cpus, items } = model
  const heads = cpus.map((cpu, column) => `<span class="cpu c${column % 5}">CPU ${cpu}</span>`).join('')
  const lives = cpus.map((): number | undefined => 0)
  const rows = items.map((item, index) => rowOf(model, item, index, lives))
  return `<div class="scroll">
<div class="head row" aria-hidden="true"><span class="step">step</span>${heads}<span class="place">source</span></div>
<div class="stage">
<div id="diagram" role="listbox" tabindex="0" aria-label="Events in the order in which they took effect">
${rows.join('\n')}
</div>
<svg id="arrows" aria-hidden="true"></svg>
</div>
</div>`
}

/**
 * One event as an option of the list. `lives` is the state of the lifelines: it is changed to that
 * below the event.
 */
function rowOf({ cpus }: Model, item: Item, index: number, lives: (number | undefined)[]): string {
  const { event, process, mark } = item
  const cells = cpus.map((_, column) => {
    if (column !== item.column)
      return `<span class="cell c${column % 5}" aria-hidden="true">${life(lives[column])}</span>`
    const name = process.kind === 'reaper' || item.begins ? `<b>${escape(process.name)}</b> ` : ''
    return `<span class="cell c${column % 5} event"><span aria-hidden="true">${symbol(item)}</span><span class="text">${name}${escape(item.text)}</span></span>`
  })
  const dead = event.name === 'kill' || (event.name === 'exit' && process.kind === 'cpu')
  lives[item.column] = dead ? undefined : item.after
  const label = `step ${event.step}, ${process.name}: ${event.order === 'none' ? '' : `${event.order} `}${item.text}${item.place && `, ${item.place}`}${mark ? `, ${markNames[mark]}` : ''}`
  const classes = ['row', mark && `mark ${mark}`, event.order].filter(Boolean)
  return `<div class="${classes.join(' ')}" role="option" id="step-${event.step}" data-index="${index}" aria-selected="false" aria-label="${escape(label)}"><span class="step">${event.step}</span>${cells.join('')}<span class="place">${mark ? `<em>${markNames[mark]}</em> ` : ''}${escape(item.place)}</span></div>`
}

const markNames = { first: 'race', second: 'race', failure: 'fails here', stuck: 'stuck' }

/** The lifelines of an event's column, with its dot or the corner of a handler's box. */
function symbol({ event, depth }: Item): string {
  const around = '<i></i>'.repeat(depth)
  if (event.name === 'enter') return `${around}<i class="branch"></i><i class="open dot none"></i>`
  if (event.name === 'leave') return `${around}<i class="branch"></i><i class="close dot none"></i>`
  const ends = event.name === 'kill' || event.name === 'exit' ? ` ends ${event.name}` : ''
  return `${around}<i class="dot ${event.order}${ends}"></i>`
}

/**
 * The widths of the columns, for the texts in them. With many columns, texts run over the ones to
 * their right.
 */
function columns({ cpus, items }: Model): string {
  const most = cpus.length <= 3 ? 56 : 24
  const widths = cpus.map((_, column) => {
    const texts = items
      .filter((item) => item.column === column)
      .map((item) => item.text.length + 3 * item.depth)
    return `${Math.min(most, Math.max(12, ...texts) + 6)}ch`
  })
  return `:root { --columns: ${widths.join(' ') || '0ch'} }`
}

function life(depth: number | undefined): string {
  return depth === undefined ? '' : '<i></i>'.repeat(depth + 1)
}

function panels(): string {
  return `<aside id="panels" hidden>
<section aria-labelledby="memory-title"><h2 id="memory-title">Memory</h2>
<table><thead><tr><th scope="col">word</th><th scope="col">value</th><th scope="col">last writer</th></tr></thead><tbody id="memory"></tbody></table></section>
<section aria-labelledby="stack-title"><h2 id="stack-title">Stack</h2><p id="process"></p><ol id="stack"></ol></section>
</aside>`
}

function sections(trace: Trace): string {
  const { failure } = trace
  const parts: string[] = []
  if (failure?.race) {
    const { first, second, rule, missing } = failure.race
    parts.push(
      `<section><h2>Missing order</h2><p>Nothing orders step ${first} before step ${second} (${escape(rule)}): ${escape(missing)}</p>${access(trace, first, 'First access')}${access(trace, second, 'Second access')}</section>`,
    )
  }
  if (failure && failure.stuck.length > 0) {
    const waits = failure.stuck.map(({ process, waitsFor }) => {
      const name = trace.processes.find(({ id }) => id === process)?.name ?? `process ${process}`
      return `<li>${escape(name)} waits for ${escape(waitsFor)}</li>`
    })
    parts.push(`<section><h2>Waiting for ever</h2><ul>${waits.join('')}</ul></section>`)
  }
  const call = `explore(${JSON.stringify(trace.test)}, scenario, { replay: ${JSON.stringify(trace.schedule)} })`
  parts.push(`<section><h2>Replay</h2><pre class="replay" tabindex="0">${escape(call)}</pre></section>`)
  return `<footer>${parts.join('\n')}
<p class="legend">● atomic, ○ plain, · touches no memory. Arrows go from a write to the operation that read it. Keys: arrows, Page Up and Page Down, Home, End, M for the next marked step.</p></footer>`
}

function access(trace: Trace, step: number, title: string): string {
  const event = trace.events.find((candidate) => candidate.step === step)
  if (!event) return ''
  const process = trace.processes.find(({ id }) => id === event.process)
  const frames = event.stack.map((frame) => `<li>${escape(frame)}</li>`)
  return `<h3>${title}: step ${step}, ${escape(process?.name ?? '')}, ${event.order} ${escape(describe(event, process))}</h3><ol class="stack">${frames.join('')}</ol>`
}

function dataOf({ items }: Model): PageData {
  const { words, changes } = memoryOf(items)
  const marked = items.findIndex(({ mark }) => mark !== undefined && mark !== 'first')
  const race = [...items.keys()].filter((index) => ['first', 'second'].includes(items[index]?.mark ?? ''))
  return {
    items: items.map((item, index) => ({
      step: item.event.step,
      process: clean(item.process.name),
      text: item.text,
      order: item.event.order,
      kind: item.event.kind ?? '',
      place: item.place,
      stack: item.event.stack.map(clean),
      saw: item.saw ?? null,
      stale: item.stale,
      mark: item.mark ?? '',
      change: changes[index] ?? null,
    })),
    words,
    start: marked >= 0 ? marked : Math.max(0, items.length - 1),
    race,
  }
}

function hash(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`
}

/** Text of several lines, as of assertions, for HTML content. */
function escapeLines(text: string): string {
  return text.trim().split('\n').map(escape).join('\n')
}
/** Text for HTML content and for attribute values in double quotes. */
function escape(text: string): string {
  const entities: Record<string, string> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  }
  return clean(text).replace(/[&<>"']/g, (character) => entities[character] ?? '')
}

/** JSON that neither ends the script element around it nor opens a comment in it. */
function jsonForScript(data: PageData): string {
  return JSON.stringify(data).replace(/</g, '\\u003c')
}
