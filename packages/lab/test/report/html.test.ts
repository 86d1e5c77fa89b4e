/**
 * The page: self-contained, escaped, and stepped through by keys, slider, buttons and clicks as a
 * browser would.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { JSDOM } from 'jsdom'
import { page } from '../../dist/report/html.js'
import type { Trace } from '../../dist/trace.js'
import { anyTrace } from './support.js'
import { cpu, killedOwner, lostWakeUp, racyMessage, Script } from './traces.js'

/** Opens the page with its script running; jsdom lays nothing out, so positions are zero. */
function open(trace: Trace, hash = '') {
  const problems: unknown[] = []
  const { window } = new JSDOM(page(trace), {
    runScripts: 'dangerously',
    url: `https://localhost/trace.html${hash}`,
  })
  window.addEventListener('error', (event) => problems.push(event.error))
  const { document } = window
  const one = (selector: string) => {
    const found = document.querySelector<HTMLElement>(selector)
    assert.ok(found, selector)
    return found
  }
  return {
    document,
    one,
    problems,
    key: (key: string, target: HTMLElement = document.body) =>
      target.dispatchEvent(new window.KeyboardEvent('keydown', { key, bubbles: true, cancelable: true })),
    slide: (value: number) => {
      const slider = one('#slider') as HTMLInputElement
      slider.value = String(value)
      slider.dispatchEvent(new window.Event('input', { bubbles: true }))
    },
    selected: () => [...document.querySelectorAll('[aria-selected=true]')].map(({ id }) => id).join(),
    memory: () =>
      [...document.querySelectorAll('#memory tr')].map((line) =>
        [...line.children].map((cell) => cell.textContent),
      ),
  }
}

describe('the page', () => {
  it('breaks a message of several lines where it does', () => {
    const trace = racyMessage()
    const failure = trace.failure ?? assert.fail()
    const message = 'Expected values to be equal:\n\n1 !== <2>\u0007\n'
    const { one } = open({ ...trace, failure: { ...failure, message } })
    assert.match(one('.verdict').textContent, /equal:\n\n1 !== <2>\\u\{7\}$/)
    assert.match(page(trace), /\.verdict \{[^}]*white-space: pre-wrap/)
  })
  it('begins at what went wrong, and says so', () => {
    const { selected, one, document } = open(racyMessage())
    assert.equal(selected(), 'step-5')
    assert.equal(
      one('#status').textContent,
      'step 5, cpu 1: plain load message.data = 42, message.ts:15, race',
    )
    assert.match(document.title, /message passing: data race/)
    assert.match(one('footer').textContent, /Nothing orders step 0 before step 5/)
    assert.match(
      one('.replay').textContent,
      /explore\("message passing", scenario, \{ replay: "0\.1\.1\.0" \}\)/,
    )
    assert.equal(document.querySelectorAll('.mark').length, 2)
    assert.equal(open(lostWakeUp()).selected(), 'step-4')
  })

  it('begins at the step in its address, if there is one', () => {
    assert.equal(open(racyMessage(), '#step-2').selected(), 'step-2')
  })

  it('goes by keys, and leaves the slider its own', () => {
    const { key, selected, one } = open(racyMessage())
    for (const [pressed, expected] of [
      ['Home', 0],
      ['ArrowDown', 1],
      ['ArrowRight', 2],
      ['ArrowUp', 1],
      ['ArrowLeft', 0],
      ['ArrowLeft', 0],
      ['End', 5],
      ['ArrowRight', 5],
      ['PageUp', 0],
      ['m', 5],
      ['m', 0],
    ] as const) {
      key(pressed)
      assert.equal(selected(), `step-${expected}`, pressed)
    }
    assert.equal(key('ArrowRight', one('#slider')), true, 'not prevented')
    assert.equal(selected(), 'step-0')
    assert.equal(key('ArrowRight', one('#diagram')), false, 'the list does not scroll')
    assert.equal(selected(), 'step-1')
    assert.equal(one('#diagram').getAttribute('aria-activedescendant'), 'step-1')
  })

  it('goes by slider, button and click', () => {
    const { slide, one, selected } = open(racyMessage())
    slide(3)
    assert.equal(selected(), 'step-3')
    one('[data-to=previous]').click()
    assert.equal(selected(), 'step-2')
    assert.equal((one('#slider') as HTMLInputElement).value, '2')
    one('#step-4 .text').click()
    assert.equal(selected(), 'step-4')
    assert.equal(one('#slider').getAttribute('aria-valuetext'), one('#step-4').getAttribute('aria-label'))
  })

  it('shows what the words touched so far hold, and who wrote it', () => {
    const { slide, memory } = open(killedOwner())
    slide(0)
    assert.deepEqual(memory(), [['lock.owner', '1', '0, cpu 0']])
    slide(3)
    assert.deepEqual(memory(), [
      ['lock.owner', '1', '0, cpu 0'],
      ['account.left', '90', '1, cpu 0'],
      ['ticks', '1', '3, irq tick'],
    ])
    slide(12)
    assert.deepEqual(memory()[0], ['lock.owner', '0', '12, reaper of 0'])
    slide(27)
    assert.deepEqual(memory().at(-1), ['account.right', '100', 'initial'])
  })

  it('does not take a stale value, a failed exchange or a result of wait for what a word holds', () => {
    const { slide, memory } = open(
      new Script('m.ts')
        .event(0, 'wait', 'x', { read: 'not-equal' })
        .event(0, 'store', 'x', { wrote: 5 })
        .plain(0, 'load', 'x', { read: 0, readFrom: -1 })
        .event(0, 'compareExchange', 'x', { read: 5 })
        .trace('memory', [cpu(0)]),
    )
    slide(0)
    assert.deepEqual(memory(), [['x', '?', 'initial']])
    slide(3)
    assert.deepEqual(memory(), [['x', '5', '1, cpu 0']])
  })

  it('shows the stack and draws what was read from where', () => {
    const { slide, one, document } = open(racyMessage())
    slide(5)
    assert.deepEqual(
      [...one('#stack').children].map((frame) => frame.textContent),
      ['body1 (file:///tests/message.ts:15:5)', 'run (file:///tests/message.ts:3:1)'],
    )
    assert.match(one('#process').textContent, /plain, published word\); read from step 0 of cpu 0$/)
    assert.equal(document.querySelectorAll('#arrows path.now').length, 1)
    assert.equal(document.querySelectorAll('#arrows path.missing').length, 1)
    slide(1)
    assert.equal(document.querySelectorAll('#arrows path.now').length, 0)
  })

  it('is whole without its script', () => {
    const { document } = new JSDOM(page(racyMessage())).window
    assert.equal(document.querySelectorAll('[role=option]').length, 6)
    assert.ok(document.getElementById('controls')?.hidden)
  })
})

describe('the file', () => {
  it('loads nothing, and its policy allows exactly its own script and style', () => {
    const html = page(killedOwner())
    const { document } = new JSDOM(html).window
    assert.equal(document.querySelectorAll('[src], [href], [style], link, img, iframe').length, 0)
    assert.doesNotMatch(html, /url\(|@import|fetch\(|XMLHttpRequest/)
    const policy = document.querySelector('meta[http-equiv]')?.getAttribute('content') ?? ''
    assert.match(policy, /^default-src 'none'/)
    for (const [selector, directive] of [
      ['style', 'style-src'],
      ['script:not([type])', 'script-src'],
    ] as const) {
      const text = document.querySelector(selector)?.textContent ?? ''
      const digest = createHash('sha256').update(text).digest('base64')
      assert.ok(policy.includes(`${directive} 'sha256-${digest}'`), directive)
    }
  })

  it('keeps what a trace says from becoming markup', () => {
    const evil = `</script><script>throw new Error("ran")</script><img src=x onerror="throw 1"><!--'"&`
    const trace = new Script('x.ts')
      .event(0, 'store', evil, { wrote: evil, stack: [evil, `${evil} (${evil}:1:1)`] })
      .event(1, 'load', evil, { read: evil })
      .trace(
        evil,
        [
          { ...cpu(0), name: evil },
          { ...cpu(1), name: evil },
        ],
        {
          kind: 'data race',
          message: evil,
          race: { first: 0, second: 1, rule: 'atomic-plain', missing: evil },
          stuck: [{ process: 0, waitsFor: evil }],
        },
        evil,
      )
    const { document, problems, one } = open(trace)
    assert.deepEqual(problems, [])
    assert.equal(document.querySelectorAll('img').length, 0)
    assert.equal(document.scripts.length, 2)
    assert.equal(one('h1').textContent, evil)
    assert.equal(one('#memory th').textContent, evil)
    assert.equal(one('#stack li').textContent.startsWith('body1'), true)
  })

  it('has every event of any trace exactly once, in order, and can be stepped through', () => {
    fc.assert(
      fc.property(anyTrace, (trace) => {
        const { document, problems, key } = open(trace)
        const ids = [...document.querySelectorAll('[role=option]')].map(({ id }) => id)
        assert.deepEqual(
          ids,
          trace.events.map(({ step }) => `step-${step}`),
        )
        for (const pressed of ['Home', 'ArrowDown', 'm', 'End']) key(pressed)
        assert.deepEqual(problems, [])
      }),
      { numRuns: 15 },
    )
  })
})
