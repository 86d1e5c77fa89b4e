// Grace periods, by domain.
import { byId, count, duration, fillRows, tell } from './dom.js'
import { Rates } from './rates.js'

const rates = new Rates()
/** Grace periods are counted modulo this. */
const MODULUS = 2 ** 30
const counted = new Map()

/** Shows those of a frame; gives how many have ended a second, undefined at first. */
export function showWaits({ at, gracePeriods, otherDomains }) {
  let sum
  const rows = gracePeriods.map(({ name, isDomain, ended, heldUpBy, waitingFor, callbacks }) => {
    const key = `${isDomain} ${name}`
    const rate = rates.of(key, at, unwrapped(key, ended))
    if (rate !== undefined) sum = (sum ?? 0) + rate
    return [
      isDomain ? name : 'rcu',
      rate === undefined ? '–' : rate < 10 ? rate.toFixed(1) : count(rate),
      waitingFor === undefined ? '–' : duration(waitingFor),
      heldUpBy.length > 0 ? `CPU ${heldUpBy.join(', ')}` : '–',
      callbacks > 0 ? count(callbacks) : '–',
    ]
  })
  fillRows(byId('wait-rows'), rows, ['', 'number', 'number', '', 'number'])
  tell(byId('waits-note'), otherDomains > 0 ? `${otherDomains} more domains are quiet.` : '')
  return sum
}

function unwrapped(key, ended) {
  const before = counted.get(key) ?? ended
  const now = before + ((ended - (before % MODULUS) + MODULUS) % MODULUS)
  counted.set(key, now)
  return now
}

/** Another machine has come: what is counted starts over. */
export function forgetWaits() {
  rates.clear()
  counted.clear()
}
