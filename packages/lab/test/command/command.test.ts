/** The command `percpu-lab`: what it runs, prints and returns, in one process and in several. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { after, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'

const executable = fileURLToPath(new URL('../../bin/percpu-lab.js', import.meta.url))
// Inside the package, so that the programs find it.
const folder = mkdtempSync(fileURLToPath(new URL('../../dist-test/command-', import.meta.url)))
after(() => rmSync(folder, { recursive: true }))

function program(name: string, text: string): string {
  writeFileSync(path.join(folder, name), text)
  return name
}
function run(...args: string[]) {
  return runWith({ PERCPU_LAB_REPORT: path.join(folder, 'pages') }, [process.execPath, executable, ...args])
}
function runWith(env: NodeJS.ProcessEnv, [command = '', ...args]: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, PERCPU_LAB_REPORT: undefined, NODE_TEST_CONTEXT: '', ...env },
  })
  return { status, stdout, stderr }
}
/** The numbers of a row of the table, and its result. */
function row(stdout: string, name: string) {
  const line = stdout.split('\n').find((candidate) => candidate.startsWith(`${name} `)) ?? ''
  const cells = line.slice(name.length).trim().split(/ {2,}/)
  return { executions: Number(cells[0]), blocked: Number(cells[1]), result: cells.at(-1) }
}

const counters = program(
  'counters.mjs',
  `import { explore, mem } from 'percpu-lab'
   for (const cpus of [2, 4]) {
     const report = await explore(cpus + ' counters', (t) => {
       const { memory, base } = t.words(2)
       for (let cpu = 0; cpu < cpus; cpu++) t.cpu(cpu, () => {
         mem.addAtomic32(memory.i32, base, 1)
         mem.awaitUntil(() => mem.loadAtomic32(memory.i32, base) > 1)
       })
     }, cpus === 2 ? { expect: { executions: 2, blocked: 2 } } : {})
     console.log('sum', report.executions)
   }`,
)
const racy = program(
  'racy.mjs',
  `import assert from 'node:assert/strict'
   import { explore, mem } from 'percpu-lab'
   const race = (name) => explore(name, (t) => {
     const { memory, base } = t.words(1)
     t.cpu(0, () => mem.store32(memory.i32, base, 1))
     t.cpu(1, () => mem.load32(memory.i32, base))
   })
   const kind = await race('expected').catch((failure) => failure.kind)
   if (process.argv.includes('--only')) assert.equal(kind.truncated, true)
   else assert.equal(kind, 'data race')
   await race("it's found")
   console.log('not reached')`,
)

describe('the example of docs/lab.md', () => {
  const text = readFileSync(new URL('../../../../docs/lab.md', import.meta.url), 'utf8')
  const [, example = ''] = /```js\n(.*?)```/s.exec(text) ?? []
  it('is proved as it stands, and fails as it says', () => {
    assert.equal(row(run(program('mp.mjs', example)).stdout, 'message passing').result, 'no failure')
    const turned = example.replace(/( +m\.data = 1\n)( +m\.flag\.store\(1\)\n)/, '$2$1')
    const { status, stdout } = run(program('pm.mjs', turned))
    assert.equal(status, 1)
    for (const line of [
      'data race in execution 1: cpu 0 (step 1, plain store) and cpu 1 (step 3, plain load)',
      '○ store data = 1 ◄ race',
      '○ load data = 1 ←1 ◄ race',
    ]) {
      assert.ok(stdout.includes(line), line)
      assert.ok(text.includes(line), line)
    }
  })
})

describe('percpu-lab', () => {
  it('prints a table of what the files explore', () => {
    const { status, stdout } = run(counters)
    assert.equal(status, 0, stdout)
    assert.match(stdout, /^exploration +executions +blocked +redundant +ms +exec\/s +result$/m)
    assert.equal(row(stdout, '2 counters').executions, 2)
    assert.equal(row(stdout, '4 counters').result, 'no failure')
  })
  it('shares each search among processes, which come to the same', () => {
    const one = run(counters)
    const three = run(counters, '--jobs', '3')
    assert.equal(three.status, 0, three.stderr)
    for (const name of ['2 counters', '4 counters'])
      assert.deepEqual(row(three.stdout, name), row(one.stdout, name))
    // What the program prints is printed once.
    assert.deepEqual(three.stdout.match(/^sum.*$/gm), one.stdout.match(/^sum.*$/gm))
  })
  for (const jobs of ['1', '2'])
    it(`shows what fails and is not expected to, with --jobs ${jobs}`, () => {
      const { status, stdout } = run(racy, '--jobs', jobs)
      assert.equal(status, 1)
      assert.equal(row(stdout, 'expected').result, 'data race')
      assert.equal(row(stdout, "it's found").result, 'data race')
      assert.equal(stdout.match(/◄ race/g)?.length, 2, 'one diagram')
      assert.ok(!stdout.includes('not reached'))
      const [, schedule = ''] =
        /npx percpu-lab racy\.mjs --only 'it'\\''s found' --replay (\S+)/.exec(stdout) ?? []
      const again = run(
        racy,
        '--only',
        "it's found",
        '--replay',
        schedule,
        '--report',
        path.join(folder, jobs),
      )
      assert.equal(again.status, 1)
      assert.match(again.stdout, /◄ race/)
      assert.equal(readdirSync(path.join(folder, jobs)).length, 1)
    })
  it('writes pages to a private folder of its own, if nobody says where', () => {
    const TMPDIR = mkdtempSync(path.join(folder, 'tmp-'))
    // What another user may have put where everybody knows the name.
    mkdirSync(path.join(TMPDIR, 'percpu-lab'), { mode: 0o777 })
    const pages = [1, 2].map(() => {
      const { stdout } = runWith({ TMPDIR }, [process.execPath, executable, racy])
      const [, url = ''] = /Step by step: (file:\S+)/.exec(stdout) ?? assert.fail(stdout)
      return fileURLToPath(url)
    })
    const folders = pages.map((page) => path.dirname(page))
    assert.notEqual(folders[0], folders[1])
    for (const [i, own] of folders.entries()) {
      assert.equal(path.dirname(own), TMPDIR)
      assert.equal(statSync(own).mode & 0o777, 0o700)
      // Two explorations failed, in one process.
      assert.equal(readdirSync(own).length, 2)
      assert.match(readFileSync(pages[i] ?? '', 'utf8'), /<html/)
    }
    assert.deepEqual(readdirSync(path.join(TMPDIR, 'percpu-lab')), [])
  })
  it('keeps the newest private folders, and removes nothing else', () => {
    const TMPDIR = mkdtempSync(path.join(folder, 'tmp-'))
    const old = Array.from({ length: 25 }, (_, i) => `percpu-lab-report-old${String(i).padStart(2, '0')}`)
    for (const [i, name] of old.entries()) {
      mkdirSync(path.join(TMPDIR, name))
      writeFileSync(path.join(TMPDIR, name, 'a.html'), '')
      utimesSync(path.join(TMPDIR, name), 1000 + i, 1000 + i)
    }
    const others = ['percpu-lab-counts-1', 'percpu-lab-report-file', 'percpu-lab-report-link']
    mkdirSync(path.join(TMPDIR, 'percpu-lab-counts-1'))
    writeFileSync(path.join(TMPDIR, 'percpu-lab-report-file'), '')
    symlinkSync(folder, path.join(TMPDIR, 'percpu-lab-report-link'))
    runWith({ TMPDIR }, [process.execPath, executable, racy])
    const left = readdirSync(TMPDIR)
    const kept = old.filter((name) => left.includes(name))
    assert.deepEqual(kept, old.slice(-19))
    assert.equal(left.length, kept.length + others.length + 1)
    for (const name of others) assert.ok(left.includes(name), name)
  })
  it('shows what it found when there is no folder for pages', () => {
    const nowhere = path.join(folder, 'nowhere')
    const { status, stdout } = runWith({ TMPDIR: nowhere }, [process.execPath, executable, racy])
    assert.equal(status, 1)
    assert.match(stdout, /◄ race[^]*--replay \S+\n\nStep by step: page not written: ENOENT: .*nowhere/)
    assert.equal(row(stdout, "it's found").result, 'data race')
    for (const jobs of ['1', '2']) {
      const inTheWay = run(racy, '--jobs', jobs, '--report', executable)
      assert.equal(inTheWay.status, 1)
      assert.match(inTheWay.stdout, /◄ race[^]*Step by step: page not written: EEXIST: /)
      assert.equal(row(inTheWay.stdout, "it's found").result, 'data race')
    }
    const apart = runWith({ TMPDIR: nowhere }, [process.execPath, executable, racy, '--jobs', '2'])
    assert.equal(apart.status, 1)
    assert.match(
      apart.stdout,
      /^several processes need a folder for temporary files \(TMPDIR\), or --jobs 1: ENOENT/,
    )
  })
  it('shows what it found on a full disk, and leaves the page of before whole', () => {
    const report = path.join(folder, 'full')
    run(racy, '--report', report)
    const before = readdirSync(report).map((name) => [name, readFileSync(path.join(report, name), 'utf8')])
    assert.equal(before.length, 2)
    // No file may have more than 4 blocks: as on a full disk, writing fails in the middle.
    const limited = ['sh', '-c', 'ulimit -f 4; exec "$@"', 'sh', process.execPath, executable]
    const { status, stdout } = runWith({}, [...limited, racy, '--report', report])
    assert.equal(status, 1)
    assert.match(stdout, /◄ race[^]*Step by step: page not written: EFBIG: /)
    assert.deepEqual(
      readdirSync(report).map((name) => [name, readFileSync(path.join(report, name), 'utf8')]),
      before,
    )
  })
  it('shows what several processes found, though they cannot tell each other', () => {
    const TMPDIR = mkdtempSync(path.join(folder, 'tmp-'))
    const file = program(
      'sweeps.mjs',
      `import { readdirSync, rmSync } from 'node:fs'
       import { explore, mem } from 'percpu-lab'
       for (const name of readdirSync(process.env.TMPDIR)) rmSync(process.env.TMPDIR + '/' + name, { recursive: true, force: true })
       await explore('swept', (t) => {
         const { memory, base } = t.words(1)
         t.cpu(0, () => mem.store32(memory.i32, base, 1))
         t.cpu(1, () => mem.load32(memory.i32, base))
       })`,
    )
    const args = [process.execPath, executable, file, '--jobs', '2', '--report', path.join(folder, 'swept')]
    const { status, stdout, stderr } = runWith({ TMPDIR }, args)
    assert.equal(status, 1)
    assert.match(stdout, /◄ race/)
    assert.equal(row(stdout, 'swept').result, 'data race')
    assert.match(stderr, /^percpu-lab: the other processes go on: .*ENOENT/m)
  })
  it('searches otherwise if it is told to', () => {
    const { status, stdout } = run(
      counters,
      '--mode',
      'pct',
      '--executions',
      '40',
      '--seed',
      '3',
      '--only',
      '4',
    )
    assert.equal(status, 0, stdout)
    const { executions, blocked, result } = row(stdout, '4 counters')
    assert.equal(executions + blocked, 40)
    assert.equal(result, 'no failure, not all explored')
    assert.equal(row(stdout, '2 counters').result, '')
    const bounded = run(counters, '--preemptions', '0', '--only', '4')
    assert.ok(row(bounded.stdout, '4 counters').executions < 24)
  })
  it('loads the parser of TypeScript for foreign code only: it takes a second', () => {
    const file = program(
      'has-parser.mjs',
      `import { createRequire } from 'node:module'
       const { cache } = createRequire(import.meta.url)
       console.log('parser:', Object.keys(cache).some((name) => name.endsWith('/typescript.js')))`,
    )
    assert.match(run(file).stdout, /^parser: false$/m)
    assert.match(run(file, '--instrument', file).stdout, /^parser: true$/m)
  })
  it('explores foreign code', () => {
    program(
      'foreign.mjs',
      `const words = new Int32Array(new SharedArrayBuffer(64))
       export const first = () => { words[0] = 1; Atomics.store(words, 1, 1) }
       export const second = () => (Atomics.load(words, 1) === 1 ? words[0] : -1)
       export const wrong = () => words[0]`,
    )
    const file = program(
      'uses-foreign.mjs',
      `import { explore } from 'percpu-lab'
       import { first, second, wrong } from './foreign.mjs'
       await explore('right', (t) => { t.cpu(0, first); t.cpu(1, second) }, { expect: { executions: 2 } })
       await explore('wrong', (t) => { t.cpu(0, first); t.cpu(1, wrong) })`,
    )
    const { status, stdout } = run(file, '--instrument', 'foreign.mjs')
    assert.equal(status, 1)
    assert.equal(row(stdout, 'right').executions, 2)
    assert.equal(row(stdout, 'wrong').result, 'data race')
    // The lines of the foreign code, and no frame of the lab, whose sources the source maps name.
    assert.match(stdout, /store 0x0 = 1 .*foreign\.mjs:2/)
    assert.match(stdout, /load 0x0 .*foreign\.mjs:4/)
    assert.doesNotMatch(stdout, /tracing\.ts|runner\.ts|explore\.ts/)
    const [, command = ''] = /npx percpu-lab (uses-foreign.*)/.exec(stdout) ?? []
    const [, schedule = ''] = /^uses-foreign\.mjs --instrument foreign\.mjs --only wrong --replay (\S+)$/.exec(command) ?? assert.fail(command) // prettier-ignore
    const again = run(file, '--instrument', 'foreign.mjs', '--only', 'wrong', '--replay', schedule)
    assert.equal(row(again.stdout, 'wrong').result, 'data race')
  })
  it('explores foreign code in TypeScript, from a file in TypeScript', () => {
    mkdirSync(path.join(folder, 'typed'), { recursive: true })
    program(
      'typed/words.ts',
      `export interface Words { readonly all: Int32Array }
       export class Pair implements Words {
         constructor(readonly all: Int32Array) {}
       }`,
    )
    program(
      'typed/pair.ts',
      `import { Pair, type Words } from './words.js'
       export const make = (): Words => new Pair(new Int32Array(new SharedArrayBuffer(8)))
       export const first = ({ all }: Words): void => { Atomics.store(all, 0, 1) }
       export const second = ({ all }: Words): number => all[0] as number`,
    )
    const file = program(
      'uses-typed.ts',
      `import { explore, type Scenario } from 'percpu-lab'
       import { first, make, second } from './typed/pair.ts'
       const words = make()
       const scenario = (t: Scenario): void => {
         t.name(words.all, { flag: 0 })
         t.cpu(0, () => first(words))
         t.cpu(1, () => { words.all[1] = 1; second(words) })
       }
       await explore('typed', scenario)`,
    )
    const { stdout } = run(file, '--instrument', 'typed/')
    assert.equal(row(stdout, 'typed').result, 'data race', stdout)
    assert.match(stdout, /store flag = 1 .*pair\.ts:3/)
    assert.match(stdout, /load flag .*pair\.ts:4/)
    // Only what is named to be instrumented is: the file itself has lost its types.
    assert.doesNotMatch(stdout, /0x4/)
  })
  it('says what foreign code that is not instrumented needs', () => {
    const file = program(
      'unseen.mjs',
      `import assert from 'node:assert/strict'
       import { explore, mem } from 'percpu-lab'
       const scenario = (checks) => (t) => {
         const words = new Int32Array(t.shared.buffer)
         for (const cpu of [0, 1]) t.cpu(cpu, () => void words[0]++)
         if (checks) t.finally(() => assert.equal(words[0], 3))
       }
       for (const checks of [false, true])
         await explore('unseen', scenario(checks)).catch((error) => console.log(error.message))
       await explore('none', (t) => {
         const words = t.words(1)
         t.cpu(0, () => mem.addAtomic32(words.memory.i32, words.base, 1))
         t.filter(() => false)
       }).catch(() => 0)
       await explore('nothing', (t) => t.cpu(0, () => t.shared))`,
    )
    const { stdout } = run(file)
    const told = /no body touched shared memory through the lab.*--instrument PATH-OF-THAT-CODE/g
    assert.equal(stdout.match(told)?.length, 3, stdout)
    assert.equal(row(stdout, 'nothing').result, 'nothing explored')
    assert.equal(row(stdout, 'none').result, 'all left out')
  })
  it('reports what else goes wrong', () => {
    const throws = run(program('throws.mjs', "throw new TypeError('at load')"))
    assert.equal(throws.status, 1)
    assert.match(throws.stdout, /TypeError: at load/)
    const nothing = run(program('nothing.mjs', ''))
    assert.equal(nothing.status, 1)
    assert.match(nothing.stderr, /the files explore nothing/)
    const differs = program(
      'differs.mjs',
      `import { explore } from 'percpu-lab'
       await explore(String(process.pid), (t) => t.cpu(0, () => 0))`,
    )
    const apart = run(differs, '--jobs', '2')
    assert.equal(apart.status, 1)
    assert.match(apart.stdout, /not all processes explored/)
  })
  for (const jobs of ['1', '2'])
    it(`leads to the user's places only where a scenario cannot be, with --jobs ${jobs}`, () => {
      const misspelt = program(
        'misspelt.mjs',
        `import { explore } from 'percpu-lab'
await explore('misspelt', (t) => t.cpu(0, () => 1), { mod: 'pct' })`,
      )
      const promise = program(
        'promise.mjs',
        `import { explore } from 'percpu-lab'
await explore('promised', async (t) => t.cpu(0, () => 1))`,
      )
      const wrong = run(misspelt, '--jobs', jobs)
      assert.match(
        wrong.stdout,
        /^percpu-lab: misspelt: there is no option mod; there are .*\n {4}at \S*misspelt\.mjs:2/,
      )
      const late = run(promise, '--jobs', jobs)
      assert.match(
        late.stdout,
        /^percpu-lab: promised: the scenario has returned a promise: .*\n {4}in promise\.mjs\n/,
      )
      for (const { status, stdout } of [wrong, late]) {
        assert.equal(status, 1)
        assert.equal(stdout.match(/^ {4}(?:at|in) /gm)?.length, 1, stdout)
      }
    })
  it('says which file cannot be read', () => {
    const { status, stdout } = run(counters, program('unfinished.mjs', 'const x ='))
    assert.equal(status, 1)
    assert.match(
      stdout,
      /percpu-lab: unfinished\.mjs, or what it imports, cannot be read: Unexpected end of input\n/,
    )
    assert.doesNotMatch(stdout, /node:internal/)
  })
  it('says that a schedule is none, and that no name contains what is asked for', () => {
    const none = run(counters, '--replay', '!!')
    assert.equal(none.status, 1)
    assert.match(none.stdout, /^percpu-lab: "!!" is no schedule$/m)
    assert.doesNotMatch(none.stdout, / at /)
    assert.match(run(counters, '--replay', 'AAAA').stdout, /^percpu-lab: the schedule "AAAA" is cut off$/m)
    const unnamed = run(counters, '--only', 'nobody')
    assert.equal(unnamed.status, 1)
    assert.match(unnamed.stderr, /the files explore nothing whose name contains "nobody"/)
  })
  it('replays an execution without a step', () => {
    const file = program(
      'at-once.mjs',
      `import { explore } from 'percpu-lab'
       await explore('at once', (t) => t.cpu(0, () => { throw new Error('at once') }))`,
    )
    assert.match(run(file).stdout, /--only 'at once' --replay ''$/m)
    assert.equal(row(run(file, '--only', 'at once', '--replay', '').stdout, 'at once').result, 'assertion')
  })
  it('says what it is asked for wrongly', () => {
    for (const [args, message] of [
      [['none.mjs'], /there is no file none\.mjs/],
      [[counters, '--instrument', 'none/'], /there is no file none\//],
      [[counters, '--jobs', '0'], /whole number from 1 to 64/],
      [[counters, '--mode', 'all'], /Allowed choices are exhaustive, enumerate, pct, random/],
      [[], /missing required argument 'files'/],
    ] as const) {
      const { status, stderr } = run(...args)
      assert.equal(status, 2, stderr)
      assert.match(stderr, message)
    }
    assert.equal(run('--help').status, 0)
    assert.ok(existsSync(executable))
  })
})
