/** Numbers by texts: as a map of strings. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { TextNumbers } from 'percpu-console'

test('a text has the number that it was given, and others have none', () => {
  const text = fc.uint8Array({ maxLength: 3, max: 3 })
  fc.assert(
    fc.property(fc.array(text, { maxLength: 300 }), (texts) => {
      const numbers = new TextNumbers()
      const model = new Map<string, number>()
      texts.forEach((bytes, i) => {
        const key = bytes.join()
        assert.equal(numbers.get(bytes), model.get(key))
        if (model.has(key)) return
        numbers.add(bytes, i * 7)
        model.set(key, i * 7)
      })
      for (const bytes of texts) assert.equal(numbers.get(bytes), model.get(bytes.join()))
    }),
  )
})

test('many texts, more than it had room for, and those with one hash', () => {
  const numbers = new TextNumbers()
  const textOf = (i: number) => Buffer.from(`{"asn":${i},"organisation":"one of many"}`)
  for (let i = 0; i < 10_000; i++) numbers.add(textOf(i), i)
  for (let i = 0; i < 10_000; i++) assert.equal(numbers.get(textOf(i)), i)
  for (let i = 10_000; i < 11_000; i++) assert.equal(numbers.get(textOf(i)), undefined)
  // Known to collide under FNV-1a of 32 bits.
  for (const [i, text] of ['costarring', 'liquid', 'declinate', 'macallums'].entries())
    numbers.add(Buffer.from(text), -1 - i)
  assert.equal(numbers.get(Buffer.from('liquid')), -2)
  assert.equal(numbers.get(Buffer.from('costarring')), -1)
  assert.equal(numbers.get(Buffer.from('macallums')), -4)
})
