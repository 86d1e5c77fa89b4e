/** What counts as an address, against node:net and ipaddr.js. */
import assert from 'node:assert/strict'
import { isIP, isIPv4 } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import ipaddr from 'ipaddr.js'
import { explainBadAddress, NOT_A_QUAD, parseAddress, parseQuad } from 'percpu-console'

/** Text near to a dotted quad: mostly digits and dots, sometimes a quad, sometimes spoilt. */
const nearQuad = fc.oneof(
  fc.stringMatching(/^[0-9.]{0,18}$/),
  fc.ipV4(),
  fc
    .tuple(fc.ipV4(), fc.nat(15), fc.constantFrom('', '.', '0', '9', ' ', '\0', 'a', ':', '/'))
    .map(([quad, at, extra]) => quad.slice(0, at) + extra + quad.slice(at)),
  fc.array(fc.nat(300), { minLength: 1, maxLength: 6 }).map((octets) => octets.join('.')),
)

const nearIpv6 = fc.oneof(
  fc.ipV6(),
  fc.stringMatching(/^[0-9a-fA-F:.]{0,40}$/),
  fc
    .tuple(fc.ipV6(), fc.nat(30), fc.constantFrom('', ':', '::', '%', '0', 'g', '.'))
    .map(([text, at, extra]) => text.slice(0, at) + extra + text.slice(at)),
  fc.ipV4().map((quad) => `::ffff:${quad}`),
  fc.ipV6().map((text) => `${text}%eth0`),
)

test('parseQuad takes exactly what node:net calls IPv4, and gives its value', () => {
  fc.assert(
    fc.property(nearQuad, fc.nat(3), (text, before) => {
      const bytes = Buffer.from('x'.repeat(before) + text + '\n', 'latin1')
      const word = parseQuad(bytes, before, bytes.length - 1)
      if (!isIPv4(text)) assert.equal(word, NOT_A_QUAD)
      else
        assert.equal(
          word >>> 0,
          ipaddr.IPv4.parse(text).octets.reduce((sum, octet) => sum * 256 + octet, 0),
        )
    }),
    { numRuns: 5000 },
  )
})

test('parseAddress takes what node:net calls an address, without zones, and gives the words of ipaddr.js', () => {
  fc.assert(
    fc.property(fc.oneof(nearQuad, nearIpv6), (text) => {
      const address = parseAddress(text)
      if (isIP(text) === 0 || text.includes('%')) {
        assert.equal(address, undefined)
        assert.notEqual(explainBadAddress(text), '')
        return
      }
      const expected = ipaddr.process(canonical(text))
      const bytes = expected.toByteArray()
      assert.equal(address?.family, expected.kind() === 'ipv4' ? 4 : 6)
      const words = address.family === 4 ? [address.word] : address.words
      assert.deepEqual(words, wordsOf(bytes))
    }),
    { numRuns: 5000 },
  )
})

test('IPv4-mapped IPv6 is the IPv4 address, in either spelling', () => {
  const expected = { family: 4, word: 0x01020304 }
  assert.deepEqual(parseAddress('::ffff:1.2.3.4'), expected)
  assert.deepEqual(parseAddress('::FFFF:102:304'), expected)
  assert.equal(parseAddress('::fffe:1.2.3.4')?.family, 6)
  assert.deepEqual(parseAddress('::1.2.3.4'), { family: 6, words: [0, 0, 0, 0x01020304] })
})

const explanations: readonly (readonly [text: string, why: RegExp])[] = [
  ['', /empty/],
  ['fe80::1%eth0', /zone \('%eth0'\)/],
  ['10.0.0.0/8', /network, not an address/],
  ['2001:db8::/32', /network, not an address/],
  ['[::1]', /brackets/],
  ['1.0.1.1:443', /has a port \(':443'\)/],
  ['[2001:db8::1]:443', /has a port \(':443'\)/],
  ['1.0.1.1:70000', /not an IPv4 or IPv6/],
  ['1.2.3', /has 3 of 4 numbers/],
  ['1.2.3.', /has 3 of 4 numbers/],
  ['1.2.3.4.5', /has 5 of 4 numbers|has 5 numbers/],
  ['1.2.3.256', /256 is above 255/],
  ['1.2.3.04', /04 has a leading zero/],
  ['16909060', /has 1 of 4 numbers/],
  ['0x7f.0.0.1', /not an IPv4 or IPv6 address/],
  ['example.org', /not an IPv4 or IPv6 address/],
]
for (const [text, why] of explanations) {
  test(`'${text}' is refused, and told why`, () => {
    assert.equal(parseAddress(text), undefined)
    assert.match(explainBadAddress(text), why)
  })
}

/** The URL parser's spelling: ipaddr.js takes the deprecated `::1.2.3.4` for `::ffff:1.2.3.4`. */
function canonical(text: string): string {
  return isIPv4(text) ? text : new URL(`http://[${text}]/`).hostname.slice(1, -1)
}

function wordsOf(bytes: readonly number[]): number[] {
  const buffer = Buffer.from(bytes)
  return Array.from({ length: bytes.length / 4 }, (_, i) => buffer.readInt32BE(i * 4))
}
