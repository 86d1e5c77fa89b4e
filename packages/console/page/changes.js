// The changes of a table, as they come, the newest first.
import { byId, element, tell } from './dom.js'
import { textOf } from './search.js'
import { Stream } from './stream.js'

/** Changes that are shown. */
const SHOWN = 100
/** Characters of a value. */
const MAX_TEXT = 200

const list = byId('change-rows')
const states = {
  connecting: 'connecting',
  open: 'Changes are shown as they come.',
  lost: 'The connection is lost: it is tried again. Changes meanwhile are not shown.',
  paused: 'Paused while the page is hidden.',
}
const time = new Intl.DateTimeFormat('en', { timeStyle: 'medium', hourCycle: 'h23' })

let stream
let waiting = []

/** Follows those of the table of this name, and of no other one; of none if it is undefined. */
export function followChanges(name) {
  stream?.close()
  stream = undefined
  waiting = []
  list.replaceChildren()
  byId('changes').hidden = name === undefined
  if (name === undefined) return
  tell(byId('changes-table'), name)
  stream = new Stream({
    url: () => `changes?table=${encodeURIComponent(name)}`,
    onState: (state) => tell(byId('changes-state'), states[state]),
    events: {
      set: (change) => add('set', change),
      delete: (change) => add('delete', change),
      reset: () => add('reset', {}),
    },
  })
}

/** All that come until the next picture are shown at once. */
function add(kind, change) {
  waiting.push({ kind, change, at: new Date() })
  if (waiting.length === 1) requestAnimationFrame(show)
  if (waiting.length > SHOWN) waiting.shift()
}

function show() {
  list.prepend(...waiting.reverse().map(rowOf))
  waiting = []
  while (list.childElementCount > SHOWN) list.lastElementChild.remove()
}

function rowOf({ kind, change, at }) {
  const { key, from, to, value, version } = change
  const place = key ?? (from === undefined ? 'everything' : `${textOf(from)} – ${textOf(to)}`)
  return element(
    'li',
    { 'data-kind': kind },
    element('time', { text: time.format(at) }),
    element('span', { class: 'kind', text: kind }),
    element('b', { text: textOf(place, MAX_TEXT) }),
    element('span', { class: 'value', text: value === undefined ? '' : textOf(value, MAX_TEXT) }),
    element('span', { class: 'note', text: version === undefined ? '' : `version ${version}` }),
  )
}
