/** Values of command-line options: what each takes, and that it refuses all else. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

const { parseBytes, parseInteger, parsePercent, parseSeconds } = await import('../../dist/commands/values.js')

interface Case {
  readonly parse: (text: string) => number
  readonly takes: Readonly<Record<string, number>>
  readonly refuses: readonly string[]
  readonly message: RegExp
}

const nonsense = ['', ' ', 'x', 'NaN', 'Infinity', '-1', '+1', '1e2', '0x10', '1,5', '1.', '.5', '1 2']

const cases: Readonly<Record<string, Case>> = {
  'a percentage': {
    parse: parsePercent,
    takes: { 0: 0, 0.5: 0.5, 1: 1, 50: 50, 99.99: 99.99, 100: 100, '100.0': 100 },
    refuses: [...nonsense, '100.1', '101', '50%'],
    message: /from 0 to 100/,
  },
  'a number of seconds': {
    parse: parseSeconds,
    takes: { 0.1: 100, 1: 1000, 1.5: 1500, '0.1004': 100, '0.1006': 101, 86400: 86_400_000 },
    refuses: [...nonsense, '0', '0.09', '86400.1', '86401', '5s'],
    message: /from 0\.1 to 86400/,
  },
  'a whole number': {
    parse: parseInteger(2, 20),
    takes: { 2: 2, 9: 9, 20: 20, '007': 7 },
    refuses: [...nonsense, '0', '1', '21', '2.5', '2.0'],
    message: /whole number from 2 to 20/,
  },
  'a size': {
    parse: parseBytes,
    takes: {
      1: 1,
      65536: 65536,
      '7b': 7,
      '64KiB': 65536,
      '64k': 65536,
      ' 1.5 GiB ': 1.5 * 2 ** 30,
      '2 m': 2 ** 21,
      '2MIB': 2 ** 21,
      '1g': 2 ** 30,
      '0.6': 1,
    },
    refuses: [...nonsense, '0', '0.4', '1TiB', '1 kb', '99999999GiB'],
    message: /Expected a size/,
  },
}

for (const [what, { parse, takes, refuses, message }] of Object.entries(cases)) {
  describe(`an option that is ${what}`, () => {
    it('takes what it can be', () => {
      for (const [text, value] of Object.entries(takes)) assert.equal(parse(text), value, `'${text}'`)
    })
    it('refuses everything else, and says what it takes', () => {
      for (const text of refuses)
        assert.throws(() => parse(text), { code: 'commander.invalidArgument', message }, `'${text}'`)
    })
  })
}
