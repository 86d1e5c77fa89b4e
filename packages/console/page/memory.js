// The memory of the machine as a bar, from its first byte to its last, and what it is used for.
import { byId, bytes, count, drawn, fillRows, percent, tell } from './dom.js'

const WIDTH = 1000
const HEIGHT = 28
/** Uses that have a colour and a row; the others are one. */
const SHOWN = 6
const numbers = ['', 'number']

const place = byId('memory')
let drawnFor = ''

export function showMemory(memory) {
  if (!memory) return
  const { total, used, largestFree, stretches, heapFree, caches, otherCaches } = memory
  const sums = new Map()
  for (const { label, bytes } of stretches) sums.set(label, (sums.get(label) ?? 0) + bytes)
  const sorted = [...sums].sort(([, one], [, other]) => other - one)
  const shown = sorted.slice(0, SHOWN).map(([label]) => label)
  draw(memory, shown)
  const rest = sorted.slice(SHOWN).reduce((sum, [, bytes]) => sum + bytes, 0)
  const rows = sorted.slice(0, SHOWN).map(([label, sum]) => [label, bytes(sum)])
  if (rest > 0) rows.push([`${sorted.length - SHOWN} others`, bytes(rest)])
  rows.push(['free', bytes(total - used)])
  fillRows(byId('memory-rows'), rows, numbers)
  ;[...byId('memory-rows').rows].forEach((row, i) => {
    row.dataset.use = i < shown.length ? i : i === rows.length - 1 ? 'free' : 'other'
  })
  const ofCaches = caches.map((each) => [
    each.name,
    count(each.allocated),
    bytes(each.size),
    bytes(each.bytes),
  ])
  fillRows(byId('cache-rows'), ofCaches, ['', 'number', 'number', 'number'])
  byId('caches').hidden = caches.length === 0
  const parts = [`The largest free block has ${bytes(largestFree)}.`]
  if (heapFree === undefined) parts.push('The heap is too large to be looked into.')
  else if (sums.has('heap')) parts.push(`Of the heap ${bytes(heapFree)} are free.`)
  if (otherCaches > 0) parts.push(`There are ${otherCaches} more caches.`)
  tell(byId('memory-note'), parts.join(' '))
}

function draw({ total, used, stretches }, shown) {
  const key = JSON.stringify([total, shown, stretches])
  if (key === drawnFor) return
  drawnFor = key
  const label = `${bytes(used)} of ${bytes(total)} are used: ${percent(used / total)}`
  const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', class: 'bar' }
  const bar = drawn('svg', { ...box, role: 'img', 'aria-label': label })
  for (const { address, bytes: size, label } of stretches) {
    const use = shown.indexOf(label)
    const title = drawn('title')
    title.textContent = `${label}: ${bytes(size)} at ${address.toString(16)}`
    const x = (address / total) * WIDTH
    const width = Math.max(0.5, (size / total) * WIDTH)
    bar.append(drawn('rect', { x, width, height: HEIGHT, 'data-use': use < 0 ? 'other' : use }, title))
  }
  place.replaceChildren(bar)
}
