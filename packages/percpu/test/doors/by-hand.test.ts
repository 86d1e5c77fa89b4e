/**
 * Numbers of users are checked by one function for each kind, in check.ts and machine/check.ts, and
 * nowhere by hand: two checks of one kind would differ.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { it } from 'node:test'

const sources = new URL('../../src/', import.meta.url)
/** Files that test numbers themselves, and why. */
const allowed: Readonly<Record<string, string>> = {
  'arithmetic.ts': 'arithmetic',
  'check.ts': 'the checks',
  'collections/range/index-pages.ts': 'tells which values a word of the index can hold',
  'machine/check.ts': 'the checks',
  'machine/size.ts': 'the check of sizes',
  'rcu/cookies.ts': 'the check of cookies',
  'rcu/debug-tokens.ts': 'tells two kinds of tokens apart',
  'watch/vpa-registry.ts': 'areas have an error of their own',
}

it('no operation checks a number by hand', () => {
  const files = readdirSync(sources, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  )
  const byHand = files.filter(
    (file) =>
      // Definitions and fields have errors of their own, and what compiles to nothing.
      !file.startsWith('layout/') &&
      !file.startsWith('mem/') &&
      /Number\.is(?:Safe)?Integer\(/.test(readFileSync(new URL(file, sources), 'utf8')),
  )
  assert.deepEqual(byHand.sort(), Object.keys(allowed).sort())
})
