// The script of the page that packages/lab/src/report/html.ts writes: steps through the events, and
// shows at each what the words hold, the stack, and which write was read. It changes nothing but
// classes, attributes and text.
//
// The page works as a document of its own: no network, no storage.

{
  const data = JSON.parse(document.getElementById('data').textContent)
  const byId = (id) => document.getElementById(id)
  const diagram = byId('diagram')
  const rows = [...diagram.children]
  const arrows = byId('arrows')
  const slider = byId('slider')
  const last = data.items.length - 1
  let current = 0

  /** Goes to an event, by its index. */
  function select(index, scroll = true) {
    if (last < 0) return
    current = Math.min(last, Math.max(0, index))
    for (const [k, row] of rows.entries()) {
      row.setAttribute('aria-selected', String(k === current))
      row.classList.toggle('future', k > current)
    }
    const row = rows[current]
    diagram.setAttribute('aria-activedescendant', row.id)
    slider.value = String(current)
    const label = row.getAttribute('aria-label')
    slider.setAttribute('aria-valuetext', label)
    byId('status').textContent = label
    if (scroll && row.scrollIntoView) row.scrollIntoView({ block: 'nearest', inline: 'nearest' })
    showMemory()
    showStack()
    drawArrows()
  }

  function nextMarked() {
    for (let k = 1; k <= last + 1; k++) {
      const index = (current + k) % (last + 1)
      if (data.items[index].mark !== '') return index
    }
    return current
  }

  const targets = {
    first: () => 0,
    previous: () => current - 1,
    next: () => current + 1,
    last: () => last,
    marked: nextMarked,
  }

  const keys = {
    ArrowUp: targets.previous,
    ArrowLeft: targets.previous,
    ArrowDown: targets.next,
    ArrowRight: targets.next,
    PageUp: () => current - 10,
    PageDown: () => current + 10,
    Home: targets.first,
    End: targets.last,
    m: nextMarked,
    M: nextMarked,
  }

  function element(name, text, className) {
    const made = document.createElement(name)
    made.textContent = text
    if (className) made.className = className
    return made
  }

  /** The words touched so far: what each holds and who wrote it. */
  function showMemory() {
    const held = new Map()
    for (const { change } of data.items.slice(0, current + 1)) if (change) held.set(change.word, change)
    const now = data.items[current].change
    const lines = [...held.values()].map(({ word, value, writer }) => {
      const line = document.createElement('tr')
      if (now && now.word === word) line.className = writer === current ? 'written' : 'read'
      const name = element('th', data.words[word].name)
      name.scope = 'row'
      name.title = data.words[word].kind
      const by = writer < 0 ? 'initial' : `${data.items[writer].step}, ${data.items[writer].process}`
      line.append(name, element('td', value, 'value'), element('td', by))
      return line
    })
    byId('memory').replaceChildren(...lines)
  }

  function showStack() {
    const { process, order, kind, text, stack, saw, stale } = data.items[current]
    const write = saw === null ? undefined : data.items[saw]
    const source = write ? `step ${write.step} of ${write.process}` : 'nobody: the initial value'
    const read = saw === null ? '' : `; read from ${source}${stale ? ', not the newest' : ''}`
    const how = [order === 'none' ? '' : order, kind && kind !== order ? `${kind} word` : '']
      .filter(Boolean)
      .join(', ')
    byId('process').textContent = `${process}: ${text}${how && ` (${how})`}${read}`
    byId('stack').replaceChildren(...stack.map((frame) => element('li', frame)))
  }

  /** Middle of an event's dot, relative to the diagram. */
  function pointOf(index) {
    const dot = rows[index].querySelector('.dot').getBoundingClientRect()
    const origin = diagram.getBoundingClientRect()
    return { x: dot.left - origin.left + dot.width / 2, y: dot.top - origin.top + dot.height / 2 }
  }

  const svg = (name, attributes) => {
    const made = document.createElementNS('http://www.w3.org/2000/svg', name)
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value))
    return made
  }

  /** A curve between two events, with a head at its end unless it is the missing edge of a race. */
  function arrow(from, to, className) {
    const a = pointOf(from)
    const b = pointOf(to)
    const bend = a.x === b.x ? 18 + Math.min(30, Math.abs(to - from) * 2) : 0
    const middle = (a.y + b.y) / 2
    const direction = bend || a.x > b.x ? 1 : -1
    const end = b.x + direction * 7
    const straight = className === 'missing' && `M${a.x} ${a.y} L${b.x} ${b.y}`
    const path = straight
      ? straight
      : bend
        ? `M${a.x + 5} ${a.y} C${a.x + bend} ${a.y} ${b.x + bend} ${b.y} ${end} ${b.y}`
        : `M${a.x} ${a.y} C${a.x} ${middle} ${end + direction * 24} ${b.y} ${end} ${b.y}`
    const parts = [svg('path', { d: path, class: className })]
    if (className !== 'missing') {
      const points = `${end},${b.y} ${end + direction * 6},${b.y - 4} ${end + direction * 6},${b.y + 4}`
      parts.push(svg('polygon', { points, class: className }))
    }
    return parts
  }

  /**
   * The write that each event read, where another process wrote it; those of the current event
   * stand out.
   */
  function drawArrows() {
    const box = diagram.getBoundingClientRect()
    arrows.setAttribute('width', String(box.width))
    arrows.setAttribute('height', String(box.height))
    const parts = []
    for (const [index, item] of data.items.entries()) {
      if (item.saw === null || item.saw < 0) continue
      const involved = index === current || item.saw === current
      const foreign = data.items[item.saw].process !== item.process
      const faint = foreign && index <= current && current - index < 100
      if (involved || faint) parts.push(...arrow(item.saw, index, involved ? 'saw now' : 'saw'))
    }
    const [first, second] = data.race
    if (second !== undefined) parts.push(...arrow(first, second, 'missing'))
    arrows.replaceChildren(...parts)
  }

  diagram.addEventListener('click', (event) => {
    const row = event.target.closest('[data-index]')
    if (row) select(Number(row.dataset.index), false)
  })
  slider.addEventListener('input', () => select(Number(slider.value)))
  for (const button of document.querySelectorAll('[data-to]'))
    button.addEventListener('click', () => select(targets[button.dataset.to]()))
  document.addEventListener('keydown', (event) => {
    const to = keys[event.key]
    // The slider has its own keys; the schedule scrolls.
    const own = event.target.closest && event.target.closest('input, .replay')
    if (!to || own || event.ctrlKey || event.altKey || event.metaKey) return
    event.preventDefault()
    select(to())
  })
  window.addEventListener('resize', drawArrows)

  byId('controls').hidden = false
  byId('panels').hidden = false
  const linked = rows.findIndex((row) => `#${row.id}` === location.hash)
  select(linked >= 0 ? linked : data.start)
}
