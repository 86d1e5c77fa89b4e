// The search: an address in the service's table, or a key in each of the others.
import { ask } from './ask.js'
import { byId, element, tell } from './dom.js'

const form = byId('search')
const query = byId('query')
const results = byId('results')
/** Tables that are asked. */
const MAX_TABLES = 20
/** Longer values are cut. */
const MAX_TEXT = 2000

let has = { lookup: false, tables: false }
let tables = []
let asked = new AbortController()

/** What there is to search in. Resolves when what the page's address asks for is there. */
export async function searchIn(hello) {
  has = hello
  form.hidden = !has.lookup && !has.tables
  const what = [has.lookup ? 'an address' : '', has.tables ? 'a key' : ''].filter((text) => text !== '')
  tell(form.querySelector('label'), `Look up ${what.join(' or ')}`)
  const linked = new URLSearchParams(location.search).get('q')
  if (form.hidden || linked === null || query.value !== '') return
  query.value = linked
  // Once it is known in which tables.
  if (!has.tables) await search()
}

/** The tables' names. Resolves as {@link searchIn}. */
export async function searchTables(names) {
  const first = tables.length === 0
  tables = names
  if (first && query.value !== '' && results.childElementCount === 0) await search()
}

form.addEventListener('submit', (event) => {
  event.preventDefault()
  void search()
})
document.addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || form.hidden) return
  if (event.target instanceof HTMLInputElement) return
  event.preventDefault()
  query.focus()
  query.select()
})

async function search() {
  const text = query.value.trim()
  asked.abort()
  if (text === '') {
    results.replaceChildren()
    return
  }
  history.replaceState(null, '', `?q=${encodeURIComponent(text)}`)
  const { signal } = (asked = new AbortController())
  const places = tables.slice(0, MAX_TABLES)
  const key = encodeURIComponent(text)
  const questions = [
    ...(has.lookup ? [from('Addresses', `lookup/${key}`, signal)] : []),
    ...places.map((name) => from(name, `tables/${encodeURIComponent(name)}/${key}`, signal)),
  ]
  results.setAttribute('aria-busy', 'true')
  const answers = await Promise.all(questions)
  if (signal.aborted) return
  results.removeAttribute('aria-busy')
  const found = answers.filter(({ value }) => value !== undefined)
  if (found.length > 0) results.replaceChildren(...found.map(shown))
  else results.replaceChildren(...nothing(text, answers))
}

/** What is answered, and by whom. */
async function from(name, url, signal) {
  return { name, ...(await ask(url, signal)) }
}

function shown({ name, value, version }) {
  const title = element('h3', { text: name })
  if (version !== null)
    title.append(element('span', { class: 'note', text: `version ${version.replaceAll('"', '')}` }))
  const list = element('dl')
  for (const [field, each] of fieldsOf(value))
    list.append(element('div', {}, element('dt', { text: field }), element('dd', { text: textOf(each) })))
  return element('article', {}, title, list)
}

/** `{ range: { start: 1 } }` is `range start`: 1. */
function fieldsOf(value, prefix = '') {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [[prefix || 'value', value]]
  return Object.entries(value).flatMap(([key, each]) =>
    fieldsOf(each, prefix === '' ? key : `${prefix} ${key}`),
  )
}

export function textOf(value, most = MAX_TEXT) {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return text.length > most ? `${text.slice(0, most)}…` : text
}

function nothing(text, answers) {
  const lines = [`Nothing is known of ${textOf(text, 100)}.`]
  // Why an answer is none is told, but for what is just not there.
  for (const { name, error, status } of answers) if (status !== 404) lines.push(`${name}: ${error}`)
  const [first, ...others] = lines
  return [element('p', { text: first }), ...others.map((line) => element('p', { class: 'note', text: line }))]
}
