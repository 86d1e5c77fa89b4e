/**
 * A process that recovers the store in the directory of its first argument, then appends until it
 * is killed. Each line of its output is the last sequence number that was acknowledged.
 */
import { writeSync } from 'node:fs'
import { Store } from 'percpu-console'
import { entriesOf, range, recordsOf, silent, Told } from './store-model.js'

const [directory = '', sync] = process.argv.slice(2)
const store = await Store.open(directory, {
  sync: sync === 'always' ? sync : { intervalMilliseconds: 20 },
  segmentBytes: 2000,
  logger: silent,
})
let last = await store.recover(new Told())
writeSync(1, `${last}\n`)
for (;;) {
  const count = 1 + (last % 5)
  await store.append(recordsOf(...range(last + 1, last + count)))
  last += count
  writeSync(1, `${last}\n`)
  if (store.wantsSnapshot) void store.writeSnapshot(last, entriesOf(last))
}
