// Elements and numbers. Text gets into the page as text only: what comes from a machine or a table
// may hold anything.

/** The element of this id. */
export const byId = (id) => document.getElementById(id)

/** A new element. `properties` are its attributes, and `text`. */
export function element(name, { text, ...attributes } = {}, ...children) {
  const made = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  if (text !== undefined) made.textContent = text
  made.append(...children)
  return made
}

const SVG = 'http://www.w3.org/2000/svg'
export function drawn(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  made.append(...children)
  return made
}

/** Sets the text of an element, if it is another one. */
export function tell(target, text) {
  if (target.textContent !== text) target.textContent = text
}

/**
 * Fills the body of a table: a row for each of `rows`, a cell for each of its texts. Rows and cells
 * are kept, so that what is selected stays so.
 */
export function fillRows(body, rows, classes = []) {
  while (body.rows.length > rows.length) body.lastElementChild.remove()
  rows.forEach((texts, i) => {
    const row = body.rows[i] ?? body.insertRow()
    texts.forEach((text, k) => {
      let cell = row.cells[k]
      if (!cell) {
        cell = k === 0 ? element('th', { scope: 'row' }) : element('td')
        if (classes[k]) cell.className = classes[k]
        row.append(cell)
      }
      tell(cell, text)
    })
  })
}

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 })

/** `1,234`; `12.3K` from 10,000 on. */
export function count(number) {
  return number < 10_000 ? whole.format(number) : short.format(number)
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
/** `1.5 GiB`. */
export function bytes(number) {
  let unit = 0
  for (; number >= 1024 && unit < units.length - 1; unit++) number /= 1024
  return `${number.toFixed(number < 10 && unit > 0 ? 1 : 0)} ${units[unit]}`
}

export function percent(share) {
  return `${Math.round(share * 100)} %`
}

/** `20 µs`, `12.3 ms`, `4.0 s`, `3 min`, `2 h`. */
export function duration(milliseconds) {
  if (milliseconds < 1) return `${Math.max(0, Math.round(milliseconds * 1000))} µs`
  if (milliseconds < 1000) return `${milliseconds.toFixed(milliseconds < 100 ? 1 : 0)} ms`
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(1)} s`
  if (milliseconds < 7_200_000) return `${Math.floor(milliseconds / 60_000)} min`
  return `${Math.floor(milliseconds / 3_600_000)} h`
}

/** Seconds that a line shows. */
const SHOWN = 60

/** The last minute of a figure, as a line. A library of charts would be larger than this page. */
export class Line {
  #values = []
  #path = drawn('polyline')
  #area = drawn('polygon')
  #most
  /** The element. */
  svg

  /** `most`: the top of the scale; undefined: the largest value shown. */
  constructor(label, most) {
    this.#most = most
    const box = { viewBox: `0 0 ${SHOWN - 1} 20`, preserveAspectRatio: 'none', class: 'line' }
    this.svg = drawn('svg', { ...box, role: 'img', 'aria-label': label }, this.#area, this.#path)
  }

  /** Adds a value; undefined where nothing is known. */
  add(value) {
    this.#values.push(value ?? 0)
    if (this.#values.length > SHOWN) this.#values.shift()
    const top = this.#most ?? Math.max(1, ...this.#values)
    const first = SHOWN - this.#values.length
    const points = this.#values.map((each, i) => {
      const y = 19.5 - 19 * Math.min(1, each / top)
      return `${first + i},${y.toFixed(1)}`
    })
    this.#path.setAttribute('points', points.join(' '))
    this.#area.setAttribute('points', `${first},20 ${points.join(' ')} ${SHOWN - 1},20`)
  }
}
