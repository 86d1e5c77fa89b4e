// The rows of a table, in the order of their keys, a page at a time.
import { ask } from './ask.js'
import { byId, count, element, tell } from './dom.js'
import { textOf } from './search.js'

/** Rows of a page. */
const PAGE = 50
/** Characters of a value. */
const MAX_TEXT = 200

/** What is typed, by the kind of the keys of a table of ranges. */
const labels = { number: 'From a number on', address: 'From an address on, or in a network' }

const form = byId('rows-form')
const query = byId('rows-query')
const part = byId('rows-part')
const list = byId('row-rows')
const more = byId('rows-more')
const state = byId('rows-state')

/** The table that is shown. */
let table
/** The query of the next page, once there is one. */
let rest
let asked = new AbortController()

/** Shows the first rows of this table, and of no other one; of none if it is undefined. */
export async function showRows(shown) {
  asked.abort()
  table = shown
  part.hidden = table === undefined
  query.value = ''
  clear()
  if (table === undefined) return
  tell(byId('rows-table'), table.name)
  tell(form.querySelector('label'), labels[table.keys] ?? 'Keys that begin with')
  tell(byId('rows-key'), table.kind)
  await first()
}

form.addEventListener('submit', (event) => {
  event.preventDefault()
  void first()
})
more.addEventListener('click', () => void next())

async function first() {
  const selection = selectionOf(query.value)
  const page = await read(selection)
  if (page === undefined) return
  clear()
  if (page.error === undefined) add(page, selection)
  else tell(state, `No rows can be shown: ${page.error}.`)
}

async function next() {
  const { selection, cursor } = rest
  const page = await read(`${selection}&cursor=${encodeURIComponent(cursor)}`)
  if (page === undefined) return
  if (page.error !== undefined) {
    tell(state, `No more rows can be shown: ${page.error}.`)
    return
  }
  // A button that is hidden loses the focus: the rows get it.
  if (page.cursor === undefined && document.activeElement === more) part.querySelector('.rows').focus()
  add(page, selection)
}

/** What is typed, as a query. What has a `/` in a table of ranges is a network. */
function selectionOf(text) {
  const isPrefix = table.kind !== 'range' || text.includes('/')
  // A key may begin with a space, or end with one.
  const place = table.kind === 'range' ? text.trim() : text
  return place === '' ? '' : `&${isPrefix ? 'prefix' : 'from'}=${encodeURIComponent(place)}`
}

/** A page, or why there is none; undefined if another one has been asked for. */
async function read(selection) {
  asked.abort()
  const { signal } = (asked = new AbortController())
  part.setAttribute('aria-busy', 'true')
  const url = `tables/${encodeURIComponent(table.name)}?limit=${PAGE}${selection}`
  const { value, error } = await ask(url, signal)
  if (signal.aborted) return undefined
  part.removeAttribute('aria-busy')
  if (error !== undefined) return { error }
  return Array.isArray(value?.entries) ? value : { error: 'the answer is no list of rows' }
}

function clear() {
  part.removeAttribute('aria-busy')
  list.replaceChildren()
  rest = undefined
  more.hidden = true
  tell(state, '')
}

function add({ entries, cursor }, selection) {
  list.append(...entries.map(rowOf))
  rest = { selection, cursor }
  more.hidden = cursor === undefined
  const rows = list.rows.length
  const number = rows === 1 ? '1 row' : `${count(rows)} rows`
  if (rows === 0) tell(state, selection === '' ? 'The table is empty.' : 'There is no such row.')
  else tell(state, cursor === undefined ? `${number}, and no more.` : `${number}, and there are more.`)
}

function rowOf({ key, from, to, value, version }) {
  const place = key ?? (from === to ? from : `${from} – ${to}`)
  return element(
    'tr',
    {},
    element('th', { scope: 'row', text: textOf(place) }),
    element('td', { class: 'value', text: textOf(value, MAX_TEXT) }),
    element('td', { class: 'number', text: String(version) }),
  )
}
