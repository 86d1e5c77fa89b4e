import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import {
  BadKey,
  decodeChange,
  encodeChange,
  keyCodecs,
  parseRange,
  type Change,
  type Key,
  type KeyKind,
  RangeSet,
} from 'percpu-console'

const keysOf: Readonly<Record<KeyKind, fc.Arbitrary<Key>>> = {
  text: fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 40 })
    .filter((text) => !text.includes('\0'))
    .map((text) => Buffer.from(text)),
  number: fc.maxSafeNat(),
  address: fc.oneof(
    fc.bigInt(0n, 2n ** 128n - 1n),
    fc.nat(2 ** 31 - 1).map((word) => (0xffffn << 32n) | BigInt(word)),
  ),
}

for (const kind of Object.keys(keysOf) as KeyKind[]) {
  const codec = keyCodecs[kind]

  test(`keys of kind ${kind} are what their text, their JSON and their bytes say`, () => {
    fc.assert(
      fc.property(keysOf[kind], (key) => {
        const same = (other: Key | BadKey | undefined) => {
          assert.ok(other !== undefined && !(other instanceof BadKey), reasonOf(other))
          assert.equal(codec.compare(other, key), 0)
        }
        same(codec.parse(String(codec.toJson(key))))
        same(codec.fromJson(JSON.parse(JSON.stringify(codec.toJson(key)))))
        same(codec.decode(codec.encode(key)))
      }),
    )
  })

  test(`keys of kind ${kind} have the order of their bytes`, () => {
    fc.assert(
      fc.property(keysOf[kind], keysOf[kind], (one, other) => {
        const order = Math.sign(Buffer.compare(codec.encode(one), codec.encode(other)))
        assert.equal(Math.sign(codec.compare(one, other)), order)
      }),
    )
  })
}

const reasonOf = (value: unknown) => (value instanceof BadKey ? value.reason : 'taken')

test('what is no key of text is refused with the reason', () => {
  const { text } = keyCodecs
  assert.match(reasonOf(text.parse('')), /is empty/)
  assert.match(reasonOf(text.parse('a\0b')), /NUL/)
  assert.match(reasonOf(text.parse('\ud800')), /surrogate/)
  assert.match(reasonOf(text.parse('ü'.repeat(128))), /has 256 bytes of UTF-8, 255 at most/)
  assert.equal(reasonOf(text.parse('x'.repeat(255))), 'taken')
  assert.match(reasonOf(text.fromJson(5)), /is not text/)
  assert.equal(text.decode(Buffer.from([0xff])), undefined)
})

test('what is no number is refused', () => {
  const { number } = keyCodecs
  for (const text of ['', '-1', '1.5', '1e3', '9007199254740992', 'x'])
    assert.match(reasonOf(number.parse(text)), /whole number/, text)
  for (const value of [-1, 1.5, 2 ** 53, NaN, null, {}])
    assert.match(reasonOf(number.fromJson(value)), /whole number/)
})

test('ranges are two keys, one, or a network', () => {
  const { number, address } = keyCodecs
  assert.deepEqual(parseRange(number, '5-9'), { from: 5, to: 9 })
  assert.deepEqual(parseRange(number, '5'), { from: 5, to: 5 })
  assert.match(reasonOf(parseRange(number, '9-5')), /ends before it begins/)
  assert.match(reasonOf(parseRange(number, '1-2-3')), /more than one hyphen/)
  const network = parseRange(address, '10.0.0.0/24')
  assert.ok(!(network instanceof BadKey))
  assert.deepEqual(
    [network.from, network.to].map((key) => address.toJson(key)),
    ['10.0.0.0', '10.0.0.255'],
  )
  const wide = parseRange(address, '2001:db8::/32')
  assert.ok(!(wide instanceof BadKey))
  assert.equal(address.toJson(wide.to), '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff')
  assert.match(reasonOf(parseRange(address, '10.0.0.1/24')), /bits behind its prefix/)
  assert.match(reasonOf(parseRange(address, '10.0.0.0/33')), /prefix of 0 to 32/)
  assert.match(reasonOf(parseRange(address, '::/129')), /prefix of 0 to 128/)
  assert.match(reasonOf(parseRange(address, '10.0.0.0-2001:db8::')), /one family/)
  for (const wide of ['::/0', '::/64', '::-2001:db8::'])
    assert.match(reasonOf(parseRange(address, wide)), /all of IPv4/)
  for (const narrow of ['0.0.0.0/0', '2001:db8::/32', '::-::ff'])
    assert.equal(parseRange(address, narrow) instanceof BadKey, false, narrow)
})

test('keys of text are parts of a buffer that many of them share', () => {
  const buffers = new Set(
    Array.from({ length: 100 }, (_, i) => {
      const key = keyCodecs.text.parse(`key ${i}`)
      assert.ok(key instanceof Uint8Array)
      return key.buffer
    }),
  )
  // One of its own for each took 800 bytes and more.
  assert.ok(buffers.size <= 2, `${buffers.size} buffers`)
})

const record = <T>(model: { [Name in keyof T]: fc.Arbitrary<T[Name]> }) =>
  fc.record(model, { noNullPrototype: true })

test('changes are what their bytes say', () => {
  const bytes = (maxLength: number) =>
    fc.uint8Array({ minLength: 1, maxLength }).map((value) => Buffer.from(value))
  const table = fc.constantFrom('users', 'x'.repeat(64))
  const value = bytes(50)
  const version = fc.maxSafeNat()
  const ends = { table, from: bytes(255), to: bytes(255) }
  const change: fc.Arbitrary<Change> = fc.oneof(
    record({
      op: fc.constant('make' as const),
      spec: record({
        name: table,
        keys: fc.constantFrom<KeyKind>('text', 'number', 'address'),
        isRange: fc.boolean(),
      }),
    }),
    record({
      op: fc.constant('make' as const),
      spec: record({
        name: table,
        keys: fc.constantFrom<KeyKind>('text', 'number', 'address'),
        isRange: fc.boolean(),
        columns: fc.array(fc.constantFrom('id', 'from, to', 'ü'.repeat(100)), { minLength: 1, maxLength: 2 }),
      }),
    }),
    record({ op: fc.constant('clear' as const), table }),
    record({ op: fc.constant('drop' as const), table }),
    record({ op: fc.constant('delete' as const), ...ends }),
    record({ op: fc.constant('set' as const), ...ends, value }),
    record({ op: fc.constant('entry' as const), ...ends, value, version }),
  )
  fc.assert(fc.property(change, (one) => assert.deepEqual(decodeChange(encodeChange(one)), one)))
})

test('bytes that are no change are refused, not misread', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const change = decodeChange(bytes)
      if (change === undefined) return
      // Then they are one. It may be written shorter: an end that is spelt out.
      assert.deepEqual(decodeChange(encodeChange(change)), change)
    }),
  )
  const good = encodeChange({ op: 'delete', table: 't', from: Buffer.from('ab'), to: Buffer.from('ab') })
  for (let length = 0; length < good.length; length++)
    assert.equal(decodeChange(good.subarray(0, length)), undefined)
  assert.equal(decodeChange(Buffer.concat([good, Buffer.of(0)])), undefined)
})

test('a set of ranges meets what any of them meets', () => {
  const ranges: { from: number; to: number }[] = []
  const set = new RangeSet(keyCodecs.number)
  // Numbers without a pattern, the same each time.
  let seed = 1
  const random = (limit: number) => (seed = (seed * 48_271) % 2_147_483_647) % limit
  for (let i = 0; i < 300; i++) {
    const from = random(1000)
    const range = { from, to: from + random(i < 200 ? 4 : 60) }
    assert.equal(
      set.meets(range),
      ranges.some((other) => other.from <= range.to && range.from <= other.to),
    )
    if (random(2) === 0) continue
    set.add(range)
    ranges.push(range)
  }
})
