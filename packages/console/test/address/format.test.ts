/** Addresses as text, against ipaddr.js and the URL parser's RFC 5952. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ipv4Text, ipv6Text, parseAddress } from 'percpu-console'

const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
/** Words with many zero groups, so that runs of them compete. */
const sparseWord = fc.oneof(word, fc.constantFrom(0, 0, 1, 0x10000, 0x0001_0001, -65536))

test('IPv4 text is four octets', () => {
  fc.assert(
    fc.property(word, (value) => {
      const octets = [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]
      assert.equal(ipv4Text(value), octets.join('.'))
    }),
  )
})

test('IPv6 text is that of RFC 5952, as the URL parser writes it', () => {
  fc.assert(
    fc.property(sparseWord, sparseWord, sparseWord, sparseWord, (...words) => {
      const groups = words.flatMap((value) =>
        [value >>> 16, value & 0xffff].map((group) => group.toString(16)),
      )
      const { hostname } = new URL(`http://[${groups.join(':')}]/`)
      assert.equal(`[${ipv6Text(...words)}]`, hostname)
    }),
    { numRuns: 3000 },
  )
})

test('IPv6 text reads back as the same words', () => {
  fc.assert(
    fc.property(sparseWord, sparseWord, sparseWord, sparseWord, (...words) => {
      fc.pre(!(words[0] === 0 && words[1] === 0 && words[2] === 0xffff))
      assert.deepEqual(parseAddress(ipv6Text(...words)), { family: 6, words })
    }),
  )
})
