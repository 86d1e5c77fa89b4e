/**
 * A process that recovers the store in the directory of its first argument, then appends until it
 * is killed, or cannot. Each line of its output is the last sequence number that was acknowledged;
 * the last one may be the code of an error.
 */
import { writeSync } from 'node:fs'
import { PercpuError } from 'percpu'
import { Store } from '../../dist/store/store.js'
import { entriesOf, range, recordsOf, silent, Told } from './store-model.js'

const [directory = '', sync, segmentBytes = '2000'] = process.argv.slice(2)
const say = (what: unknown) => writeSync(1, `${String(what)}\n`)
const store = await Store.open(directory, {
  sync: sync === 'always' ? sync : { intervalMilliseconds: 20 },
  segmentBytes: Number(segmentBytes),
  logger: silent,
})
let last = await store.recover(new Told())
say(last)
try {
  for (;;) {
    const count = 1 + (last % 5)
    await store.append(recordsOf(...range(last + 1, last + count)))
    last += count
    say(last)
    if (store.wantsSnapshot) void store.writeSnapshot(last, entriesOf(last))
  }
} catch (error) {
  if (!(error instanceof PercpuError)) throw error
  say(error.code)
}
