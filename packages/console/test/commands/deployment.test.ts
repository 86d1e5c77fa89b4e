/** The examples that start the service elsewhere: what they call exists. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { percpu } from '../helpers/command.js'

const read = (name: string): string =>
  readFileSync(new URL(`../../../../examples/service/${name}`, import.meta.url), 'utf8')

test('the commands and options of the examples are those of percpu', async () => {
  const started = /^ExecStart=percpu (.*)$/m.exec(read('percpu.service'))?.[1]?.split(' ')
  const contained = /^CMD (.*)$/m.exec(read('Containerfile'))?.[1]
  const { stdout } = await percpu(['serve', '--help'])
  const known = new Map(
    Array.from(stdout.matchAll(/^ +(--[\w-]+)( <\w+>)?/gm), ([, name = '', value]) => [
      name,
      value !== undefined,
    ]),
  )
  assert.ok(known.size > 10, stdout)
  for (const [command, ...args] of [started ?? [], JSON.parse(contained ?? '[]') as string[]]) {
    assert.equal(command, 'serve')
    for (let i = 0; i < args.length; i++) {
      const takesValue = known.get(args[i] ?? '')
      assert.notEqual(takesValue, undefined, `percpu serve has no ${args[i] ?? ''}`)
      if (takesValue === true) i++
    }
  }
})

test('the container starts the command that the package has', () => {
  assert.match(read('Containerfile'), /^ENTRYPOINT \["percpu"\]$/m)
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  assert.ok('percpu' in (JSON.parse(manifest) as { bin: object }).bin)
})
