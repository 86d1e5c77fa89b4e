import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import { join } from '../join-modules.mjs'
import { repositoryRoot } from '../lib/cli.mjs'
import { createCompiler } from '../lib/compile.mjs'
import { formatScores, scoreByFolder, scoreOf } from '../lib/mutant-score.mjs'
import { readSourceFolders, testedIn, testsOfAll } from '../lib/source-folders.mjs'
import { draw, judge, readOptions, shortfalls, UsageError } from '../mutants-random.mjs'
import { makeTree } from './helpers/tree.mjs'

const tsconfig = (outDir) =>
  JSON.stringify({
    compilerOptions: {
      target: 'es2022',
      module: 'nodenext',
      types: [],
      rootDir: 'src',
      outDir,
      strict: true,
    },
    include: ['src'],
  })

const bounds = `export function isBelow(a: number, b: number): boolean {
  return a < b
}
`
const sums = `export function add(a: number, b: number): number {
  return a + b
}
export function unused(): number {
  return 1
}
`
const sources = {
  'percpu/src/index.ts': `export const name: string = 'fixture'\nexport const version = 1\n`,
  'percpu/src/bounds/bounds.ts': bounds,
  'percpu/src/sums/sums.ts': sums,
  'console/src/main.ts': `export const limit = 7\n`,
}
const tests = {
  'percpu/bounds/one': `
    import { isBelow } from '../../dist/bounds/bounds.js'
    if (!isBelow(1, 2) || isBelow(3, 2)) throw new Error('wrong order')`,
  'percpu/sums/sums': `
    import { add } from '../../dist/sums/sums.js'
    if (add(2, 3) !== 5) throw new Error('wrong sum')`,
  'console/main': `
    import { limit } from '../dist/main.js'
    if (limit !== 7) throw new Error('wrong limit')`,
}

/**
 * A built workspace: `sources` below packages, and `tests` by package, folder and name. The modules
 * of the library are joined.
 */
async function makeWorkspace(t, changes = {}) {
  const files = {}
  const texts = { ...sources, ...changes.sources }
  for (const [name, folder] of Object.entries({ percpu: 'built', console: 'dist' })) {
    files[`packages/${name}/package.json`] = JSON.stringify({ name, type: 'module' })
    files[`packages/${name}/tsconfig.json`] = tsconfig(folder)
  }
  for (const [name, text] of Object.entries(texts)) files[`packages/${name}`] = text
  for (const [name, text] of Object.entries({ ...tests, ...changes.tests })) {
    const [inPackage, ...rest] = name.split('/')
    files[`packages/${inPackage}/test/${rest.join('/')}.test.ts`] = ''
    files[`packages/${inPackage}/dist-test/${rest.join('/')}.test.js`] = text
  }
  const root = makeTree(t, files)
  mkdirSync(path.join(root, 'node_modules'))
  symlinkSync('../packages/percpu', path.join(root, 'node_modules/percpu'))
  const compile = createCompiler(root)
  for (const name of Object.keys(texts)) {
    const { output, js } = compile(`packages/${name}`, texts[name])
    mkdirSync(path.dirname(path.join(root, output)), { recursive: true })
    writeFileSync(path.join(root, output), js)
  }
  await join(root)
  return root
}

const everything = { seed: 1, count: 1000, folders: [] }
const lanes = 2

const shown = (mutant) => `${mutant.file}:${mutant.line}:${mutant.column} ${mutant.before} → ${mutant.after}`
const inOrder = ({ mutants }) => mutants.map(shown)

/** Draws the mutants of one folder, keeps those that `choose` wants, and runs them. */
async function runChosen(root, folder, choose, options = {}) {
  const { mutants } = draw(root, { ...everything, folders: [folder] })
  const chosen = mutants.filter(choose)
  assert.notEqual(chosen.length, 0)
  return judge(root, chosen, { lanes, ...options })
}
const becomes = (after) => (mutant) => mutant.after === after

test('the same seed draws the same mutants, and a larger count only adds to them', async (t) => {
  const root = await makeWorkspace(t)
  const all = inOrder(draw(root, everything))
  assert.equal(all.length, 10)
  assert.equal(new Set(all).size, all.length)
  assert.deepEqual(inOrder(draw(root, everything)), all)
  assert.deepEqual(inOrder(draw(root, { ...everything, count: 5 })), all.slice(0, 5))
  const other = inOrder(draw(root, { ...everything, seed: 2 }))
  assert.notDeepEqual(other, all)
  assert.deepEqual(other.sort(), all.sort())
})

test('folders take turns until they have no more to give', async (t) => {
  const { mutants } = draw(await makeWorkspace(t), everything)
  const order = mutants.map(({ folder }) => folder)
  const round = ['console', 'percpu', 'percpu/bounds', 'percpu/sums']
  assert.deepEqual(order, [...round, ...round, 'percpu/sums', 'percpu/sums'])
})

test('what a folder gives does not depend on the other folders', async (t) => {
  const inBounds = ({ file }) => file.includes('bounds')
  const { mutants } = draw(await makeWorkspace(t), everything)
  const changed = await makeWorkspace(t, { sources: { 'percpu/src/sums/more.ts': sums } })
  assert.deepEqual(
    draw(changed, everything).mutants.filter(inBounds).map(shown),
    mutants.filter(inBounds).map(shown),
  )
})

test('draws only from the folders that are named', async (t) => {
  const root = await makeWorkspace(t)
  const files = (...folders) => [
    ...new Set(draw(root, { ...everything, folders }).mutants.map(({ file }) => file)),
  ]
  assert.deepEqual(files('percpu/bounds'), ['packages/percpu/src/bounds/bounds.ts'])
  assert.deepEqual(files('packages/percpu/src/bounds/'), ['packages/percpu/src/bounds/bounds.ts'])
  assert.deepEqual(files('percpu/sums/sums.ts', 'console'), [
    'packages/console/src/main.ts',
    'packages/percpu/src/sums/sums.ts',
  ])
  assert.equal(files('percpu').length, 3)
  for (const folder of ['percpu/sum', 'percpu/nothing', 'nothing', ''])
    assert.throws(() => files(folder), UsageError)
})

test('discards what does not compile, or is there already', async (t) => {
  const main = `export const label = (a: string): string => 'is ' + a
export const isThree = (a: number): boolean => a === 3
`
  const root = await makeWorkspace(t, { sources: { 'console/src/main.ts': main } })
  const { mutants, discarded } = draw(root, { ...everything, folders: ['console'] })
  // Strings have no difference; the opposite of the result is that of its equality.
  assert.deepEqual(discarded, { notCompiled: 1, same: 1, equivalent: 0 })
  assert.deepEqual(mutants.map(({ after }) => after).sort(), ['2', '4', 'a !== 3'])
})

test('the tests of a file are those of its folder, or those that the table names', (t) => {
  const [[entry, [other]]] = Object.entries(testedIn)
  const [inPackage, inFolder] = entry.split('/')
  const root = makeTree(t, {
    'packages/percpu/src/index.ts': sums,
    'packages/percpu/src/sums/deep/a.ts': sums,
    [`packages/${inPackage}/src/${inFolder}/b.ts`]: sums,
  })
  const compiled = [
    'packages/percpu/dist-test/bounds/one.test.js',
    'packages/percpu/dist-test/sums/two.test.js',
    `packages/percpu/dist-test/${testsOfAll[0]}/four.test.js`,
    `packages/${inPackage}/dist-test/${other}/three.test.js`,
  ]
  for (const output of compiled) {
    for (const file of [output, output.replace('dist-test', 'test').replace('.js', '.ts')]) {
      mkdirSync(path.dirname(path.join(root, file)), { recursive: true })
      writeFileSync(path.join(root, file), '')
    }
  }
  const found = readSourceFolders(root)
  assert.deepEqual(found.problems, [])
  const testsOf = (end) => found.sources.find(({ file }) => file.endsWith(end)).tests
  assert.deepEqual(testsOf('src/index.ts').sort(), compiled.slice(0, 3).sort())
  assert.deepEqual(testsOf('sums/deep/a.ts'), compiled.slice(1, 3))
  assert.deepEqual(testsOf(`${inFolder}/b.ts`), compiled.slice(3))
})

test('sources without tests, and a test that is not compiled, are problems', async (t) => {
  const root = await makeWorkspace(t, { sources: { 'percpu/src/untested/a.ts': sums } })
  writeFileSync(path.join(root, 'packages/percpu/test/sums/new.test.ts'), '')
  const { problems } = readSourceFolders(root)
  assert.deepEqual(
    problems.map(({ file, message }) => `${file} ${message}`),
    [
      'packages/percpu/test/sums/new.test.ts is not compiled: run npm run build',
      'packages/percpu/src/untested/a.ts has no tests: ' +
        'its folder has none, and is not in tools/lib/source-folders.mjs',
    ],
  )
})

test('every source of this repository has tests, and the table names no more than it must', () => {
  const { sources: found, problems } = readSourceFolders(repositoryRoot)
  assert.deepEqual(problems, [])
  const folders = new Set(found.map(({ folder }) => folder))
  for (const folder of ['console', 'lab', 'percpu', 'percpu/mem', 'percpu/sync'])
    assert.ok(folders.has(folder), folder)
  for (const [entry, others] of Object.entries(testedIn)) {
    const [inPackage, inFolder] = entry.split('/')
    const exists = (rest) => existsSync(path.join(repositoryRoot, 'packages', inPackage, rest))
    assert.ok(exists(`src/${inFolder}`), `${entry}: there is no such source folder`)
    assert.ok(!exists(`test/${inFolder}`), `${entry} has tests of its own now`)
    for (const other of others) assert.ok(exists(`test/${other}`), `${entry}: there is no test/${other}`)
  }
})

test('tells killed mutants from surviving ones, and leaves the workspace alone', async (t) => {
  const root = await makeWorkspace(t)
  const progress = []
  const { rows, problems } = await runChosen(root, 'percpu/bounds', () => true, {
    onMutant: (row) => progress.push(row),
  })
  assert.deepEqual(problems, [])
  assert.deepEqual(new Set(progress), new Set(rows))
  const outcomes = Object.fromEntries(rows.map(({ after, killed, how }) => [after, [killed, how]]))
  assert.deepEqual(outcomes, {
    'a <= b': [false, 'passed'],
    'a >= b': [true, 'test failed'],
  })
  const [{ killedBy }] = rows.filter(({ killed }) => killed)
  assert.equal(killedBy, 'packages/percpu/dist-test/bounds/one.test.js')
  for (const file of ['built/bounds/bounds.js', 'dist/percpu.js'])
    assert.match(readFileSync(path.join(root, 'packages/percpu', file), 'utf8'), /return a < b;/)
})

test('a mutant that no test runs survives without a run', async (t) => {
  const { rows } = await runChosen(await makeWorkspace(t), 'percpu/sums', ({ before }) => before === '1')
  assert.equal(rows.length, 2)
  for (const { killed, isCovered, how, tests: count } of rows)
    assert.deepEqual([killed, isCovered, how, count], [false, false, 'not covered', 0])
})

test('a mutant that never ends is killed by the time limit', async (t) => {
  const main = `export function count(to: number): number {\n  let at = 0\n  while (at < to) at++\n  return at\n}\n`
  const root = await makeWorkspace(t, {
    sources: { 'console/src/main.ts': main },
    tests: { 'console/main': `import { count } from '../dist/main.js'\ncount(3)` },
  })
  const { rows } = await runChosen(root, 'console', becomes('at--'), { slack: 1 })
  assert.equal(rows[0].killed, true)
  assert.match(rows[0].how, /^no end within \d+ s$/)
})

test('a mutant that meets a busy machine gets more time', async (t) => {
  // Fast in the baseline, where the code has marks.
  const busy = `
    import { isBelow } from '../../dist/bounds/bounds.js'
    if (!String(isBelow).includes('Mark')) await new Promise((resolve) => setTimeout(resolve, 4000))
    if (!isBelow(1, 2)) throw new Error('wrong order')`
  const root = await makeWorkspace(t, { tests: { 'percpu/bounds/one': busy } })
  const { rows } = await runChosen(root, 'percpu/bounds', becomes('a <= b'), { slack: 1 })
  assert.deepEqual([rows[0].killed, rows[0].how], [false, 'passed'])
})

test('runs the fastest test first, and none after the first that fails', async (t) => {
  const slow = `await new Promise((resolve) => setTimeout(resolve, 2000))\n`
  const root = await makeWorkspace(t, { tests: { 'percpu/sums/a-slow': slow + tests['percpu/sums/sums'] } })
  const { rows } = await runChosen(root, 'percpu/sums', becomes('a - b'), { lanes: 1 })
  assert.deepEqual([rows[0].tests, rows[0].killedBy], [1, 'packages/percpu/dist-test/sums/sums.test.js'])
})

test('a test that fails without a mutant is a problem, and judges none', async (t) => {
  const root = await makeWorkspace(t, { tests: { 'percpu/sums/broken': `throw new Error('broken anyway')` } })
  const { rows, problems } = await runChosen(root, 'percpu/sums', () => true)
  assert.notEqual(rows.length, 0)
  for (const { killedBy } of rows) assert.notEqual(killedBy, problems[0].file)
  assert.equal(problems.length, 1)
  assert.equal(problems[0].file, 'packages/percpu/dist-test/sums/broken.test.js')
  assert.match(problems[0].message, /fails without a mutant \(test failed\)[^]*broken anyway/)
})

test('a test that fails with marks in the code counts as running everything', async (t) => {
  const root = await makeWorkspace(t, {
    tests: {
      'percpu/sums/text': `
        import { unused } from '../../dist/sums/sums.js'
        if (!/\\{\\s*return [12];\\s*\\}/.test(unused)) throw new Error('another text')`,
    },
  })
  const found = []
  const { rows } = await runChosen(root, 'percpu/sums', ({ before }) => before === '1', {
    onTest: ({ file, passed, isMarked }) => found.push([path.basename(file), passed, isMarked]),
  })
  assert.deepEqual(found.sort(), [
    ['sums.test.js', true, true],
    ['text.test.js', true, false],
  ])
  assert.deepEqual(rows.map(({ after, killed, isCovered }) => [after, killed, isCovered]).sort(), [
    ['0', true, true],
    ['2', false, true],
  ])
})

const worker = `new URL('data:text/javascript,' + encodeURIComponent(code))`
const inWorker = (code) => `
  import { Worker } from 'node:worker_threads'
  const sums = JSON.stringify(new URL('../../dist/sums/sums.js', import.meta.url).href)
  const code = ${code}
  const worker = new Worker(${worker})
  worker.once('message', (result) => {
    worker.terminate()
    if (result !== 1) throw new Error('wrong result')
  })`
const elsewhere = {
  'a worker that is terminated': inWorker(
    `\`import { parentPort } from 'node:worker_threads'
    import { unused } from \${sums}
    parentPort.postMessage(unused())
    for (;;);\``,
  ),
  'a process that is killed': `
    import { spawn } from 'node:child_process'
    const sums = JSON.stringify(new URL('../../dist/sums/sums.js', import.meta.url).href)
    const code = \`import { unused } from \${sums}
      console.log(unused())
      setInterval(() => {}, 1000)\`
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], { env: {} })
    child.stdout.setEncoding('utf8').once('data', (text) => {
      child.kill('SIGKILL')
      if (text.trim() !== '1') throw new Error('wrong result')
    })`,
  'a second copy of the module': `
    import { unused } from '../../dist/sums/sums.js?again'
    if (unused() !== 1) throw new Error('wrong result')`,
}

for (const [where, text] of Object.entries(elsewhere)) {
  test(`code that runs in ${where} is covered`, async (t) => {
    const root = await makeWorkspace(t, { tests: { 'percpu/sums/elsewhere': text } })
    const { rows, problems } = await runChosen(root, 'percpu/sums', ({ before }) => before === '1')
    assert.deepEqual(problems, [])
    for (const { isCovered, killed, killedBy } of rows)
      assert.deepEqual(
        [isCovered, killed, killedBy],
        [true, true, 'packages/percpu/dist-test/sums/elsewhere.test.js'],
      )
  })
}

const row = (folder, killed, isCovered = true) => ({ folder, killed, isCovered })
const judged = [row('b', true), row('a', true), row('b', false), row('b', false, false), row('a', true)]

test('scores by folder', () => {
  assert.deepEqual(scoreByFolder(judged.slice(0, 3)), [
    { folder: 'a', killed: 1, total: 1, notCovered: 0, percent: 100 },
    { folder: 'b', killed: 1, total: 2, notCovered: 0, percent: 50 },
  ])
  assert.equal(scoreOf('all', judged).percent, 60)
  assert.equal(
    formatScores(judged),
    'a    2/2  100.0 %\nb    1/3   33.3 %  1 not covered\nall  3/5   60.0 %  1 not covered',
  )
})

test('says which scores are below the minimum', () => {
  assert.deepEqual(shortfalls(judged, {}), [])
  assert.deepEqual(shortfalls(judged, { minimum: 60, minimumOfFolder: 33 }), [])
  assert.deepEqual(shortfalls(judged, { minimum: 60.5, minimumOfFolder: 50 }), [
    'all: 60.0 % killed, less than 60.5 %',
    'b: 33.3 % killed, less than 50 %',
  ])
})

test('reads the command line', () => {
  const args = ['--seed', '7', '--count', '9', '--folder', 'lab', '--folder', 'percpu/sync', '--lanes', '3']
  assert.deepEqual(readOptions([...args, '--list', '--json', 'out.json', '--minimum', '80']), {
    seed: 7,
    count: 9,
    folders: ['lab', 'percpu/sync'],
    lanes: 3,
    list: true,
    json: 'out.json',
    minimum: 80,
    minimumOfFolder: undefined,
  })
  for (const [option, value] of [
    ['--seed', '-1'],
    ['--seed', 'x'],
    ['--count', '0'],
    ['--count', '1.5'],
    ['--lanes', ''],
    ['--minimum', '101'],
    ['--minimum-folder', 'most'],
  ])
    assert.throws(
      () => readOptions([`${option}=${value}`]),
      (error) => error instanceof UsageError && error.message.startsWith(`${option} must be`),
    )
  assert.throws(() => readOptions(['--what']), { code: 'ERR_PARSE_ARGS_UNKNOWN_OPTION' })
})

test('the program lists a draw, and refuses wrong options in one line', () => {
  const program = path.join(repositoryRoot, 'tools/mutants-random.mjs')
  const run = (...args) => spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' })
  const listed = run('--list', '--count', '2', '--folder', 'percpu/mem')
  assert.equal(listed.status, 0, listed.stderr)
  assert.match(listed.stdout, /^2 mutants; [^\n]*\n(packages\/percpu\/src\/mem\/[^\n]* → [^\n]*\n){2}/)
  for (const [args, message] of [
    [['--count', 'many'], /^mutants:random: --count must be[^\n]*\n$/],
    [['--folder', 'nowhere'], /^mutants:random: --folder nowhere: there are no sources\n$/],
    [['--what'], /^mutants:random: Unknown option '--what'[^\n]*\n$/],
  ]) {
    const refused = run(...args)
    assert.equal(refused.status, 1)
    assert.match(refused.stderr, message)
  }
})
