/**
 * Any trace can be drawn: every event is there once and in order, no line is too wide, nothing
 * reaches the terminal.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import fc from 'fast-check'
import stringWidth from 'string-width'
import { diagram } from '../../dist/report/diagram.js'
import { modelOf } from '../../dist/report/model.js'
import { rowsOf } from '../../dist/report/rows.js'
import { anyTrace, labelledSteps } from './support.js'

const widths = fc.integer({ min: 40, max: 160 })

describe('the text diagram of any trace', () => {
  it('has every event exactly once, in order', () => {
    fc.assert(
      fc.property(anyTrace, widths, (trace, width) => {
        const steps = trace.events.map(({ step }) => step)
        assert.deepEqual(labelledSteps(diagram(trace, { width })), steps)
        const rows = rowsOf(modelOf(trace), () => width)
        assert.deepEqual(
          rows.flatMap(({ items }) => items.map(({ event }) => event.step)),
          steps,
        )
        const texts = rows.map(({ items, text }) => [items, text] as const)
        for (const [items, text] of texts) assert.ok(text.startsWith(items[0]?.text ?? '?'))
      }),
    )
  })

  it('is never wider than asked for', () => {
    fc.assert(
      fc.property(anyTrace, widths, (trace, width) => {
        for (const line of diagram(trace, { width, command: `percpu-lab ${'x'.repeat(200)}` }).split('\n'))
          assert.ok(stringWidth(line) <= width, `${stringWidth(line)} columns: ${line}`)
      }),
    )
  })

  it('has no control characters but its own colours, and those only when asked for', () => {
    fc.assert(
      fc.property(anyTrace, widths, (trace, width) => {
        const plain = diagram(trace, { width })
        assert.doesNotMatch(plain.replaceAll('\n', ''), /[\p{Cc}\p{Cf}\p{Cs}]/u)
        assert.equal(stripVTControlCharacters(diagram(trace, { width, color: true })), plain)
      }),
    )
  })
})
