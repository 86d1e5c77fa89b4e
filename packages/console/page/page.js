// The page of a percpu machine: what /live tells, a search, and tables where the service has any.
//
// It asks its own service only, and puts text into the page as text. Each module has one part.
import { forgetCpus, showCpus } from './cpus.js'
import { byId, duration, element, tell } from './dom.js'
import { hasLookups, showFigures } from './figures.js'
import { showMemory } from './memory.js'
import { searchIn } from './search.js'
import { Stream } from './stream.js'
import { watchTables } from './tables.js'
import { forgetWaits, showWaits } from './waits.js'

/** Milliseconds without an event, of which one comes every second. */
const SILENCE = 5000

const states = {
  connecting: 'connecting',
  open: 'live',
  lost: 'connection lost: trying again',
  paused: 'paused while hidden',
}
let process
/** What comes before the figures has its place: nothing moves when it comes. */
let placed = Promise.resolve()

new Stream({
  url: () => 'live',
  silence: SILENCE,
  // It is live when something comes.
  onState: (state) => showState(state === 'open' ? 'connecting' : state),
  events: {
    hello(hello) {
      placed = Promise.all([searchIn(hello), watchTables(hello.tables)])
      hasLookups(hello.lookup)
      showAttribution(hello.attribution)
    },
    frame(frame) {
      showState('open')
      show(frame)
    },
    gone({ error }) {
      showState('gone', error)
    },
  },
})

function showState(state, text = states[state]) {
  const place = byId('connection')
  place.dataset.state = state
  tell(place, text)
}

function show(frame) {
  if (frame.pid !== process) {
    process = frame.pid
    forgetCpus()
    forgetWaits()
    document.title = `${frame.title} – percpu`
    tell(byId('title'), frame.title)
  }
  const { cpus, at } = frame
  const cpuCount = `${cpus.length} CPU${cpus.length === 1 ? '' : 's'}`
  tell(byId('about'), `process ${frame.pid}, ${cpuCount}, up ${duration(at)}`)
  const lookups = showCpus(frame)
  const waits = showWaits(frame)
  showFigures(frame, lookups, waits)
  showMemory(frame.memory)
  const stuck = cpus.filter(({ activity }) => activity === 'blocked' || activity === 'dead')
  const alarms = stuck.map(({ cpu, activity, work }) => `CPU ${cpu} is ${activity}${work && `: ${work}`}.`)
  tell(byId('alarms'), [...frame.deadlocks.map((line) => `${line}.`), ...alarms].join(' '))
  void placed.then(() => delete document.body.dataset.waiting)
}

/** Whom the data is owed to, with links to them. */
function showAttribution(lines) {
  byId('footer').replaceChildren(
    ...lines.map((line) => {
      const parts = line.split(/(https:\/\/[^\s,;]+)/).map((part) => {
        const isLink = part.startsWith('https://') && URL.canParse(part)
        return isLink ? element('a', { href: part, rel: 'noreferrer', text: part }) : part
      })
      return element('p', {}, ...parts)
    }),
  )
}
