/** Ports, NAT64 and byte-order marks, at each door. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readAddress, STRICT, withoutMark } from 'percpu-console'
import { testService } from '../helpers/service.js'

const cases = [
  ['1.1.1.1:443', { stripPort: true }, { family: 4, word: 0x01010101 }],
  ['[2001:db8::1]:443', { stripPort: true }, { family: 6, words: [0x20010db8, 0, 0, 1] }],
  ['[::ffff:1.1.1.1]:65535', { stripPort: true }, { family: 4, word: 0x01010101 }],
  ['1.1.1.1:', { stripPort: true }, undefined],
  ['1.1.1.1:65536', { stripPort: true }, undefined],
  ['2001:db8::1:443', { stripPort: true }, { family: 6, words: [0x20010db8, 0, 0, 0x10443] }],
  ['[1.1.1.1]:1:2', { stripPort: true }, undefined],
  ['example.org:80', { stripPort: true }, undefined],
  ['64:ff9b::1.1.1.1', { nat64: true }, { family: 4, word: 0x01010101 }],
  ['64:ff9b::101:101', {}, { family: 6, words: [0x64ff9b, 0, 0, 0x01010101] }],
  ['64:ff9b:1::1.1.1.1', { nat64: true }, { family: 6, words: [0x64ff9b, 0x10000, 0, 0x01010101] }],
  ['[64:ff9b::1.1.1.1]:80', { nat64: true, stripPort: true }, { family: 4, word: 0x01010101 }],
] as const

test('an address is what the rules say', () => {
  for (const [text, rules, address] of cases)
    assert.deepEqual(readAddress(text, { ...STRICT, ...rules }), address, text)
})

test('the service takes by these rules what GET and POST bring', async (t) => {
  const { url } = await testService(t, { rules: { stripPort: true, nat64: true } })
  const texts = ['1.1.1.1:443', '[::ffff:1.1.1.1]:1', '64:ff9b::1.1.1.1', '[64:ff9b::1.1.1.1]:80', '1.1.1.1']
  const range = { start: '1.1.1.0', end: '1.1.1.255' }
  const wanted = texts.map((address) => ({ address, range, asn: 13335, organisation: 'Cloudflare, Inc.' }))
  const body = `${texts.join('\n')}\n[2001:db8::1]:8\n1.1.1.1:66666\n`
  const response = await fetch(`${url}/lookup`, {
    method: 'POST',
    headers: { 'content-type': 'text/plain' },
    body,
  })
  const answers = (await response.text())
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as object)
  assert.deepEqual(answers.slice(0, 5), wanted)
  assert.equal((answers[5] as { asn: number }).asn, 64500)
  assert.match((answers[6] as { error: string }).error, /not an IPv4 or IPv6/)
  for (const [i, text] of texts.entries())
    assert.deepEqual(await (await fetch(`${url}/lookup/${encodeURIComponent(text)}`)).json(), wanted[i])
})

test('a byte-order mark before the first address of a body is skipped', async (t) => {
  const { url } = await testService(t)
  for (const [type, body] of [
    ['text/plain', '8.8.8.8\n'],
    ['application/json', '["8.8.8.8"]'],
    ['application/x-ndjson', '"8.8.8.8"\n'],
  ] as const) {
    const headers = { 'content-type': type }
    const response = await fetch(`${url}/lookup`, { method: 'POST', headers, body: `\ufeff${body}` })
    assert.match(await response.text(), /^\{"address":"8.8.8.8","range":\{"start":"8.8.8.0"/)
  }
})

test('a byte-order mark goes however it comes, and nothing else goes', async () => {
  const texts = ['', '\ufeff', '\ufeffa', 'a\ufeff', '\ufeff\ufeff', '\uff00b', '\ufec0']
  for (const text of texts)
    for (const size of [1, 2, 3, 9]) {
      const bytes = Buffer.from(text)
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
        bytes.subarray(i * size, (i + 1) * size),
      )
      const found: Uint8Array[] = []
      for await (const piece of withoutMark(from(pieces))) found.push(piece)
      assert.equal(Buffer.concat(found).toString(), text.replace(/^\ufeff/, ''))
    }
})

async function* from(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield await Promise.resolve(piece)
}
