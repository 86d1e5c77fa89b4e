// The figures at the top: of the whole machine, each with the last minute.
import { byId, bytes, count, element, Line, percent, tell } from './dom.js'

class Figure {
  #value = element('dd', { text: '–' })
  #line
  item

  /** `most`: the top of its scale, if it has one. */
  constructor(name, most) {
    this.#line = new Line(`${name}, in the last minute`, most)
    this.item = element('div', {}, element('dt', { text: name }), this.#value, this.#line.svg)
  }

  show(number, text) {
    tell(this.#value, number === undefined ? '–' : text(number))
    this.#line.add(number)
  }
}

const figures = {
  lookups: new Figure('lookups/s'),
  busy: new Figure('busy, all CPUs', 1),
  waits: new Figure('grace periods/s'),
  memory: new Figure('memory used', 1),
}
byId('figures').append(...Object.values(figures).map(({ item }) => item))

/** `lookups`, `waits`: how many a second, if known. */
export function showFigures({ cpus, memory }, lookups, waits) {
  const busy = cpus.map((cpu) => cpu.busy).filter((each) => each !== undefined)
  const mean = busy.length > 0 ? busy.reduce((sum, each) => sum + each, 0) / busy.length : undefined
  figures.lookups.show(lookups, count)
  figures.busy.show(mean, percent)
  figures.waits.show(waits, (each) => (each < 10 ? each.toFixed(1) : count(each)))
  const used = memory && memory.used / memory.total
  figures.memory.show(used, (share) => `${bytes(memory.used)} (${percent(share)})`)
}

/** Whether lookups are counted at all. */
export function hasLookups(has) {
  figures.lookups.item.hidden = !has
}
