// Runs test files in the order in which they are given; `node --test` sorts them by their paths.
//
//     node tools/lib/run-in-order.mjs CONCURRENCY TIMEOUT FILE ...

import process from 'node:process'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'

const [concurrency, timeout, ...files] = process.argv.slice(2)
run({ files, concurrency: Number(concurrency), timeout: Number(timeout) })
  .on('test:fail', ({ todo }) => {
    if (todo === undefined || todo === false) process.exitCode = 1
  })
  .compose(new spec())
  .pipe(process.stdout)
