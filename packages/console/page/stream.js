// Server-sent events that are looked for again: a browser gives up where a server answers with an
// error, and does not notice a connection that is dead.
//
//     connecting ──▶ open ──▶ lost ──▶ connecting      an error, or silence
//     paused                                           while nobody sees the page
//
// A hidden page costs the service nothing. It also leaves its connections to others: a browser has
// six for each server.

/** Milliseconds until a lost stream is looked for. */
const RETRY = 1000

export class Stream {
  #url
  #events
  #onState
  #silence
  #source
  #timer
  #isWanted = true

  /**
   * `url()`: where the events are, at each attempt. `events`: what is called with each event, by
   * its name. `onState`: is told 'connecting', 'open', 'lost' and 'paused'. `silence`: milliseconds
   * without an event after which it is taken for lost.
   */
  constructor({ url, events, onState, silence }) {
    this.#url = url
    this.#events = events
    this.#onState = onState
    this.#silence = silence
    document.addEventListener('visibilitychange', this.#adjust)
    this.#adjust()
  }

  close() {
    this.#isWanted = false
    document.removeEventListener('visibilitychange', this.#adjust)
    this.#end()
  }

  #adjust = () => {
    this.#end()
    if (document.hidden) this.#onState('paused')
    else this.#open()
  }

  #open() {
    this.#onState('connecting')
    const source = new EventSource(this.#url())
    this.#source = source
    source.addEventListener('open', () => {
      this.#onState('open')
      this.#expect()
    })
    source.addEventListener('error', () => this.#isLost())
    for (const [name, handle] of Object.entries(this.#events))
      source.addEventListener(name, (event) => {
        this.#expect()
        handle(JSON.parse(event.data), event.lastEventId)
      })
  }

  /** Another event, within the time. */
  #expect() {
    if (this.#silence === undefined) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#isLost(), this.#silence)
  }

  #isLost() {
    this.#end()
    if (!this.#isWanted) return
    this.#onState('lost')
    this.#timer = setTimeout(() => this.#open(), RETRY)
  }

  #end() {
    clearTimeout(this.#timer)
    this.#source?.close()
    this.#source = undefined
  }
}
