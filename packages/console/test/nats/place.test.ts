/** When a node that follows a bucket says where it is: before it shows a change, and after. */
import assert from 'node:assert/strict'
import { EventEmitter, on } from 'node:events'
import { test } from 'node:test'
import { boot } from 'percpu'
import { History, keyCodecs, PlaceWords, rangeName, type Heard, type Table } from 'percpu-console'
import type { Bucket } from '../../dist/nats/bucket.js'
import { Follower } from '../../dist/nats/follower.js'

/** A bucket without a server: what is written is what is heard. */
class LocalBucket extends EventEmitter {
  readonly name = 'local'
  readonly isConnected = true
  readonly cuts = 0
  created = 'first'
  readonly #heard = new Map<string, Heard>()
  #last = 0

  write(name: string, text: string): void {
    const heard = { name, revision: ++this.#last, value: Buffer.from(text), isLast: true }
    this.#heard.set(name, heard)
    this.emit('heard', heard)
  }
  state() {
    return Promise.resolve({ created: this.created, last: this.#last, names: this.#heard.size })
  }
  watch(from: number) {
    const { signal, stop } = stopper()
    const coming = on(this, 'heard', { signal })
    const before = [...this.#heard.values()].filter(({ revision }) => revision >= from)
    async function* all(): AsyncGenerator<Heard> {
      yield* before.map((heard, i) => ({ ...heard, isLast: i === before.length - 1 }))
      try {
        for await (const [heard] of coming) yield heard as Heard
      } catch (error) {
        if (!signal.aborted) throw error
      }
    }
    return Promise.resolve(Object.assign(all(), { waiting: () => 0, stop }))
  }
}
function stopper() {
  const controller = new AbortController()
  return { signal: controller.signal, stop: () => controller.abort() }
}

test('a node says which change it may show before, and which one it shows after', async (t) => {
  const machine = boot({ memory: '4 MiB', cpus: 1 })
  const tables = new Map<string, Table>()
  /** What is said, and the version of the key that is shown then. */
  const said: [what: string, sequence: number, shown: number | undefined][] = []
  const shown = () => tables.get('t')?.get(7)?.version
  class Told extends PlaceWords {
    override begin(sequence: number): void {
      said.push(['begin', sequence, shown()])
      super.begin(sequence)
    }
    override moveTo(sequence: number): void {
      said.push(['moveTo', sequence, shown()])
      super.moveTo(sequence)
    }
  }
  const bucket = new LocalBucket()
  const key = rangeName({ name: 't', keys: 'number', isRange: false }, keyCodecs.number, { from: 7, to: 7 })
  bucket.write('t.spec', '{"keys":"number","isRange":false}')
  bucket.write(key, '"one"')
  bucket.write('t.load', '{"node":"n","done":true}')
  const place = new Told()
  const follower = new Follower({
    ...{ bucket: bucket as unknown as Bucket, machine, tables, place, history: new History(1000) },
    logger: { info: () => undefined, warn: () => undefined },
    onMade: () => undefined,
  })
  t.after(async () => {
    await follower.close()
    await machine.offline()
  })
  await follower.start()
  assert.deepEqual(said.splice(0), [
    ['begin', 3, undefined],
    ['moveTo', 3, 2],
  ])
  assert.equal(place.lists, 1)
  bucket.write(key, '"two"')
  assert.ok(await follower.reached(4, 10_000))
  assert.deepEqual(said, [
    ['begin', 4, 2],
    ['moveTo', 4, 4],
  ])
  assert.deepEqual([place.newest, place.applied], [4, 4])
})
