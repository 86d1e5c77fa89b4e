/**
 * Explorations in tests, with stored counts: each test here writes a test file, runs it, and looks
 * at what comes of it.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'percpu-lab-counts-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const dist = new URL('../../dist/', import.meta.url)
/**
 * Test files add these counters, of so many CPUs, in scenarios: 2 CPUs have 2 executions, 3 have 6.
 */
const beginning = `
  import { describe, it } from 'node:test'
  import { explorer } from '${new URL('testing/index.js', dist).href}'
  import { mem } from '${new URL('index.js', dist).href}'
  const tests = new URL('file://FOLDER/')
  const explore = explorer(new URL('counts.json', tests), tests)
  const counter = (cpus) => (t) => {
    const { memory, base } = t.words(1)
    for (let cpu = 0; cpu < cpus; cpu++) t.cpu(cpu, () => mem.addAtomic32(memory.i32, base, 1))
  }
`

interface Ending {
  readonly code: number | null
  readonly output: string
}
/** Writes and runs `name`.test.js; `text` follows {@link beginning}. */
function run(text: string, { name = 'adding', update = false, args = [] as string[] } = {}): Promise<Ending> {
  const file = path.join(folder, `${name}.test.mjs`)
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, beginning.replace('FOLDER', folder) + text)
  const child = spawn(process.execPath, [...args, file], {
    env: { ...process.env, NODE_TEST_CONTEXT: '', PERCPU_LAB_UPDATE_COUNTS: update ? '1' : '' },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, output }))
  })
}

type Counts = Record<string, Record<string, { executions: number; blocked: number }>>
function store(counts: Counts): void {
  writeFileSync(path.join(folder, 'counts.json'), JSON.stringify(counts))
}
function stored(): Counts {
  return JSON.parse(readFileSync(path.join(folder, 'counts.json'), 'utf8')) as Counts
}

const two = `describe('a counter', () => it('of two CPUs', (test) => explore(test, counter(2))));`
const three = `describe('a counter', () => it('of three CPUs', (test) => explore(test, counter(3))));`
const right = { executions: 2, blocked: 0 }

describe('a complete exploration', () => {
  it('passes with its stored count, by the titles of its test', async () => {
    store({ adding: { 'a counter of two CPUs': right } })
    const { code, output } = await run(two)
    assert.equal(code, 0, output)
  })
  it('fails with another one, which tells both numbers', async () => {
    store({ adding: { 'a counter of two CPUs': { executions: 3, blocked: 0 } } })
    const { code, output } = await run(two)
    assert.equal(code, 1)
    assert.match(output, /a counter of two CPUs: 2 executions instead of 3/)
  })
  it('fails without one, and tells its own', async () => {
    const { code, output } = await run(two)
    assert.equal(code, 1)
    assert.match(output, /a counter of two CPUs: 2 executions and 0 blocked, but no count is stored/)
    assert.ok(!existsSync(path.join(folder, 'counts.json')))
  })
  it('has no count of another test file', async () => {
    store({ other: { 'a counter of two CPUs': right } })
    const { code } = await run(two)
    assert.equal(code, 1)
  })
  it('may be one of several in a test', async () => {
    store({ adding: { 'both, 2 CPUs': right, 'both, 3 CPUs': { executions: 6, blocked: 0 } } })
    const both = (variant: string) => `it('both', async (test) => {
      for (const cpus of [2, 3]) await explore(test, counter(cpus), { ${variant} })
    });`
    assert.equal((await run(both("variant: cpus + ' CPUs'"))).code, 0)
    const { code, output } = await run(both("mode: 'random', executions: 1"))
    assert.equal(code, 1)
    assert.match(output, /two explorations of adding are named both/)
  })
})

describe('an exploration that is not complete', () => {
  it('needs no count', async () => {
    const { code, output } = await run(
      `it('drawn', (test) => explore(test, counter(2), { mode: 'random', executions: 3 }))`,
    )
    assert.equal(code, 0, output)
  })
})

describe('a count whose exploration did not run', () => {
  const counts = { adding: { 'a counter of two CPUs': right, 'a counter of three CPUs': right } }
  it('fails the file', async () => {
    store(counts)
    const { code, output } = await run(two)
    assert.equal(code, 1)
    assert.match(output, /did not run: a counter of three CPUs/)
  })
  it('does not, if only some of the tests ran', async () => {
    store(counts)
    const { code, output } = await run(two + three, { args: ['--test-name-pattern=two CPUs'] })
    assert.equal(code, 0, output)
  })
  it('is not told of beside a failure', async () => {
    store({ adding: { 'a counter of two CPUs': { executions: 3, blocked: 0 }, 'after it': right } })
    const { output } = await run(two)
    assert.doesNotMatch(output, /did not run/)
  })
})

describe('updating', () => {
  it('stores the counts of the file, and nothing else of it', async () => {
    store({
      adding: { gone: right, 'a counter of two CPUs': { executions: 3, blocked: 1 } },
      other: { x: right },
    })
    const { code, output } = await run(two + three, { update: true })
    assert.equal(code, 0, output)
    assert.deepEqual(stored(), {
      adding: { 'a counter of three CPUs': { executions: 6, blocked: 0 }, 'a counter of two CPUs': right },
      other: { x: right },
    })
    assert.equal((await run(two + three)).code, 0)
  })
  it('of some of the tests leaves the other counts alone', async () => {
    store({ adding: { 'a counter of three CPUs': right } })
    await run(two + three, { update: true, args: ['--test-name-pattern=two CPUs'] })
    assert.deepEqual(Object.keys(stored()['adding'] ?? {}).length, 2)
  })
  it('leaves them alone when a test fails', async () => {
    store({ adding: { 'after it': right } })
    const failing = `it('wrong', (test) => explore(test, (t) => t.cpu(0, () => { throw new Error('no') })))`
    const { code } = await run(two + failing, { update: true })
    assert.equal(code, 1)
    assert.deepEqual(Object.keys(stored()['adding'] ?? {}).sort(), ['a counter of two CPUs', 'after it'])
  })
  it('by several processes at once loses nothing', async () => {
    const names = ['a', 'b/c', 'd', 'e']
    const endings = await Promise.all(names.map((name) => run(two, { name, update: true })))
    assert.deepEqual(
      endings.map(({ code }) => code),
      [0, 0, 0, 0],
    )
    assert.deepEqual(Object.keys(stored()), names)
  })
})
