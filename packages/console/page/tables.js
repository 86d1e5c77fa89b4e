// The tables that the service keeps. The rows of one are shown, and its changes followed: a browser
// has few connections.
import { followChanges } from './changes.js'
import { byId, count, element, tell } from './dom.js'
import { showRows } from './rows.js'
import { searchTables } from './search.js'

/** Milliseconds between looks at the list. */
const INTERVAL = 5000

const rows = byId('table-rows')
/** By their names, as they were told last. */
let known = new Map()
let isWatched = false
let chosen

/** Begins, if the service has tables. Resolves when they are shown. */
export async function watchTables(has) {
  if (!has || isWatched) return
  isWatched = true
  setInterval(() => void look(), INTERVAL)
  document.addEventListener('visibilitychange', () => void look())
  await look()
}

async function look() {
  if (document.hidden) return
  try {
    const response = await fetch('tables')
    if (response.ok) await show(await response.json())
  } catch {
    // The state of the connection is shown already.
    return
  }
}

async function show(tables) {
  byId('tables').hidden = tables.length === 0
  known = new Map(tables.map((table) => [table.name, table]))
  const names = [...known.keys()]
  for (const row of [...rows.rows]) if (!names.includes(row.dataset.name)) row.remove()
  tables.forEach((table, i) => {
    let row = [...rows.rows].find(({ dataset }) => dataset.name === table.name)
    if (!row) {
      row = newRow(table.name)
      rows.insertBefore(row, rows.rows[i] ?? null)
    }
    const texts = [table.kind, count(table.entries)]
    texts.forEach((text, k) => tell(row.cells[k + 1], text))
  })
  const first = names.includes(chosen) ? undefined : choose(names[0])
  await Promise.all([first, searchTables(names)])
}

function newRow(name) {
  const button = element('button', {
    type: 'button',
    'aria-pressed': 'false',
    title: 'show its rows, and follow its changes',
    text: name,
  })
  button.addEventListener('click', () => void choose(name))
  const cells = ['', 'number'].map((kind) => element('td', { class: kind }))
  return element('tr', { 'data-name': name }, element('th', { scope: 'row' }, button), ...cells)
}

/** Resolves when the first rows of the table are shown. `name`: undefined if there is none. */
async function choose(name) {
  chosen = name
  for (const row of rows.rows)
    row.querySelector('button').setAttribute('aria-pressed', String(row.dataset.name === name))
  followChanges(name)
  await showRows(known.get(name))
}
