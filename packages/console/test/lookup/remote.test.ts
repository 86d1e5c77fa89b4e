/** `percpu lookup --server`: a service answers, from the client's side. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { askService, FileError, ServiceError, type InputFormat } from 'percpu-console'
import { testService } from '../helpers/service.js'

async function* piecesOf(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield await Promise.resolve(Buffer.from(text))
}
async function ask(url: string, input: AsyncIterable<Uint8Array>, format: InputFormat = 'text') {
  const pieces: Uint8Array[] = []
  await askService(new URL(url), input, format, {
    write: (bytes) => Promise.resolve(void pieces.push(Uint8Array.from(bytes))),
  })
  return Buffer.concat(pieces).toString()
}

test('answers come as from the service, in each format, also for much', async (t) => {
  const { url } = await testService(t)
  assert.match(await ask(url, piecesOf('1.1.1.1\n8.8', '.8.8\n')), /^.*Cloudflare.*\n.*Google.*\n$/)
  assert.match(await ask(`${url}/`, piecesOf('["1.1.1.1"]'), 'json'), /^.*Cloudflare.*\n$/)
  assert.match(await ask(url, piecesOf('"1.1.1.1"'), 'ndjson'), /^.*Cloudflare.*\n$/)
  assert.equal(await ask(url, piecesOf()), '')
  const many = Array.from({ length: 40 }, () => '8.8.8.8\n'.repeat(5000))
  assert.equal((await ask(url, piecesOf(...many))).split('\n').length, 200_001)
})

test('a service that refuses, breaks off or is not there is told; so is an input that fails', async (t) => {
  const { url } = await testService(t, { bodyLimit: 20 })
  const refused = (status: number | undefined, message: RegExp) => (error: unknown) =>
    error instanceof ServiceError && error.details['status'] === status && message.test(error.message)
  await assert.rejects(ask(url, piecesOf('"'), 'json'), refused(400, /refuses: malformed JSON/))
  await assert.rejects(ask(url, piecesOf('1.1.1.1\n'.repeat(9))), refused(413, /longer than the limit/))
  await assert.rejects(ask(`${url}/elsewhere`, piecesOf('1.1.1.1')), refused(404, /there is no POST/))
  await assert.rejects(
    ask('http://127.0.0.1:1', piecesOf('1.1.1.1')),
    refused(undefined, /cannot ask .*ECONNREFUSED/),
  )
  const failing = async function* () {
    yield* piecesOf('1.1.1.1\n')
    throw new FileError('the disk is gone')
  }
  await assert.rejects(ask(url, failing()), /the disk is gone/)
  const server = createServer((request, response) => {
    response.writeHead(200).write('{"address":')
    request.resume().once('end', () => response.destroy())
  }).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const broken = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  await assert.rejects(ask(broken, piecesOf('1.1.1.1')), refused(undefined, /cannot ask .*: aborted/))
})

test('what ends early does not wait for input that is yet to come', { timeout: 20_000 }, async (t) => {
  const server = createServer((request, response) => {
    response.writeHead(request.url === '/refused/lookup' ? 415 : 200)
    response.write('{}\n')
    if (request.url !== '/open/lookup') response.end()
  }).listen(0, '127.0.0.1')
  t.after(() => server.close().closeAllConnections())
  await new Promise((resolve) => server.once('listening', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const endless = async function* () {
    yield* piecesOf('1.1.1.1\n')
    await new Promise(() => undefined)
  }
  await assert.rejects(ask(`${url}/refused`, endless()), /refuses: HTTP status 415/)
  // Answers to all of it there cannot be.
  await assert.rejects(ask(url, endless()), /has ended before all was sent/)
  const secret = ask(url.replace('//', '//name:secret@'), endless())
  await assert.rejects(secret, (error) => error instanceof ServiceError && !/secret/.test(error.message))
  const sink = { write: () => Promise.reject(new Error('nobody reads')) }
  await assert.rejects(askService(new URL(`${url}/open`), endless(), 'text', sink), /nobody reads/)
})
