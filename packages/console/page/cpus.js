// The CPUs: a card each, with what it is doing and the last minute.
import { byId, count, duration, element, Line, percent, tell } from './dom.js'
import { Rates } from './rates.js'

const list = byId('cpus')
const cards = new Map()
const rates = new Rates()
/** Of the timers of its event loop, since the thread came: of half, and of 99 in 100. */
const DELAY = 'loop delay p50, p99'

class Card {
  #title = element('h3')
  #state = element('span', { class: 'state' })
  #work = element('p', { class: 'work' })
  #line = new Line('busy, in the last minute', 1)
  #figures = new Map()
  item

  constructor(cpu) {
    const figures = element('dl')
    for (const name of ['busy', 'work/s', 'lookups/s', DELAY, 'locks']) {
      const value = element('dd')
      this.#figures.set(name, value)
      figures.append(element('div', {}, element('dt', { text: name }), value))
    }
    const head = element('div', { class: 'head' }, this.#title, this.#state)
    this.item = element('li', { 'data-cpu': cpu }, head, this.#work, this.#line.svg, figures)
  }

  show(cpu, at, lookups) {
    const { incarnation, activity, work, workFor, busy, delay, locks } = cpu
    const name = lookups ? `: ${lookups.name}` : ''
    tell(this.#title, `CPU ${cpu.cpu}${name}`)
    tell(this.#state, stateText(cpu))
    this.item.dataset.activity = activity
    const since = workFor === undefined ? '' : `, for ${duration(workFor)}`
    const text = work === '' ? '' : `${work}${since}`
    tell(this.#work, text)
    this.#work.title = text
    this.#line.add(busy)
    this.#set('busy', busy === undefined ? '' : percent(busy))
    const runs = rates.of(`${cpu.cpu}.${incarnation}`, at, cpu.runs)
    this.#set('work/s', runs === undefined ? '' : count(runs))
    this.#set('lookups/s', lookups?.rate === undefined ? '' : count(lookups.rate))
    this.#set(DELAY, delay ? `${duration(delay.p50)}, ${duration(delay.p99)}` : '')
    this.#set('locks', locks)
  }

  #set(name, text) {
    const value = this.#figures.get(name)
    tell(value, text === '' ? '–' : text)
    if (name === 'locks') value.title = text
  }
}

function stateText({ activity, silentFor, thread }) {
  if (activity !== 'blocked') return activity
  const where = thread === 'waiting' ? ' in Atomics.wait' : thread === 'gone' ? ', thread has ended' : ''
  return `blocked for ${duration(silentFor ?? 0)}${where}`
}

/** Shows the CPUs of a frame; gives the sum of lookups a second, if any are counted. */
export function showCpus({ at, cpus, offline, lookups = [] }) {
  const known = new Map()
  let sum
  for (const { name, cpu, count } of lookups) {
    const rate = rates.of(name, at, count)
    if (rate !== undefined) sum = (sum ?? 0) + rate
    if (cpu !== undefined) known.set(cpu, { name, rate })
  }
  const numbers = new Set(cpus.map(({ cpu }) => cpu))
  for (const [cpu, { item }] of cards)
    if (!numbers.has(cpu)) {
      item.remove()
      cards.delete(cpu)
    }
  cpus.forEach((each, i) => {
    const card = cards.get(each.cpu) ?? new Card(each.cpu)
    cards.set(each.cpu, card)
    if (list.children[i] !== card.item) list.insertBefore(card.item, list.children[i] ?? null)
    card.show(each, at, known.get(each.cpu))
  })
  tell(byId('offline'), offline > 0 ? `${offline} more have no thread.` : '')
  return sum
}

/** Another machine has come: what is counted starts over. */
export function forgetCpus() {
  rates.clear()
  for (const { item } of cards.values()) item.remove()
  cards.clear()
}
