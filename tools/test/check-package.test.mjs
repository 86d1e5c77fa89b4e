import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import { exampleProblems } from '../check-package.mjs'
import { listFiles, repositoryRoot } from '../lib/cli.mjs'
import { contentProblems, linkProblems, manifestProblems } from '../lib/package-contents.mjs'
import { forPackage, packages, packageTexts, relink } from '../lib/package-texts.mjs'
import { fencedBlocks, readmeExample } from '../lib/readme-example.mjs'
import { makeTree } from './helpers/tree.mjs'

const readme = `# thing

\`\`\`sh
npm install thing
\`\`\`

\`\`\`js
import { other } from 'not-part-of-it'
\`\`\`

\`\`\`js
// main.js
import { three } from './lib/worker.js'
console.log(\`one  
two\`, three)
\`\`\`

and

~~~~javascript title="worker"
// lib/worker.js
// \`\`\`
export const three = 3
~~~~

It prints:

\`\`\`text
one
two 3
\`\`\`

\`\`\`js
// main.js
throw new Error('of a later example')
\`\`\`
`

test('finds the example between the prose', () => {
  const { files, output } = readmeExample(readme)
  assert.deepEqual(Object.keys(files), ['main.js', 'lib/worker.js'])
  assert.equal(files['lib/worker.js'], '// lib/worker.js\n// ```\nexport const three = 3\n')
  assert.equal(output, 'one\ntwo 3\n')
})

test('reads fences as Markdown does', () => {
  const blocks = fencedBlocks(
    '````md\n```js\ninner\n```\n````\r\n  ```js\n  a\n    b\n  ```\n    ```js\n```text\nopen',
  )
  assert.deepEqual(
    blocks.map(({ language, text, line }) => [language, text, line]),
    [
      ['md', '```js\ninner\n```\n', 1],
      ['js', 'a\n  b\n', 6],
      ['text', 'open\n', 11],
    ],
  )
})

test('says what a README lacks', () => {
  assert.throws(() => readmeExample('# nothing'), /no js block starts with the line "\/\/ main\.js"/)
  assert.throws(() => readmeExample('```js\n// main.js\n```\n'), /no text block/)
  assert.throws(
    () => readmeExample('```js\n// main.js\n```\n```js\n// main.js\n```\n```text\n```\n'),
    /line 4: main\.js is there twice/,
  )
})

test('runs the example and compares its output', (t) => {
  const project = makeTree(t, { 'package.json': '{ "type": "module" }' })
  assert.deepEqual(exampleProblems(readme, project), [])
  assert.ok(existsSync(path.join(project, 'lib/worker.js')))
})

test('reports another output, and a failing example', (t) => {
  const project = makeTree(t, { 'package.json': '{ "type": "module" }' })
  assert.match(
    exampleProblems(readme.replace('two 3\n', 'two 4\n'), project).join(),
    /printed\none\ntwo 3\nand the text shows\none\ntwo 4/,
  )
  const failing = '```js\n// main.js\nconsole.log(1)\nthrow new Error("oops")\n```\n```text\n1\n```\n'
  const problems = exampleProblems(failing, project)
  assert.equal(problems.length, 1)
  assert.match(problems[0], /main\.js ended with 1\n[^]*oops/)
})

test('reports what is missing from a package and what does not belong there', () => {
  const good = [
    'package.json',
    'README.md',
    'LICENSE',
    'dist/index.js',
    'dist/percpu.js',
    'dist/percpu.js.map',
    'dist/errors.js',
    'dist/errors.js.map',
    'dist/percpu.d.ts',
    'dist/errors.d.ts',
    'dist/mem/mem.js',
    'dist/mem/mem.js.map',
    'dist/mem/mem.d.ts',
    'docs/recipes.md',
    'src/index.ts',
  ]
  assert.deepEqual(contentProblems('percpu', good, ''), [])
  const without = good.filter((file) => file !== 'LICENSE' && file !== 'dist/percpu.d.ts')
  assert.deepEqual(contentProblems('percpu', without, ''), [
    'percpu: LICENSE is missing',
    'percpu: dist/percpu.d.ts is missing',
  ])
  assert.deepEqual(contentProblems('percpu', [...good, 'dist/boot.js', 'dist/gone.d.ts', 'test/a.ts'], ''), [
    'percpu: dist/boot.js does not belong in it',
    'percpu: dist/gone.d.ts does not belong in it',
    'percpu: test/a.ts does not belong in it',
  ])
})

test('reports compiled files of deleted sources', (t) => {
  const root = makeTree(t, { 'packages/console/src/index.ts': '' })
  const texts = ['package.json', 'README.md', 'LICENSE', 'NOTICE', 'bin/percpu.js', 'docs/serve.md']
  const files = [...texts, 'page/index.html', 'dist/index.js', 'dist/index.d.ts', 'dist/gone.js']
  assert.deepEqual(contentProblems('percpu-console', files, root), [
    'percpu-console: dist/gone.js has no source: run npm run clean, and build',
  ])
})

test('reports a package.json that cannot be published', () => {
  const good = {
    name: 'percpu',
    version: '1.0.0',
    description: 'd',
    license: 'MIT',
    engines: {},
    exports: {},
    files: [],
  }
  assert.deepEqual(manifestProblems('percpu', good), [])
  assert.deepEqual(manifestProblems('percpu', { ...good, private: true, license: undefined }), [
    'percpu: is private',
    'percpu: has no license',
  ])
  assert.deepEqual(manifestProblems('percpu', { ...good, dependencies: { a: 'file:../a' } }), [
    'percpu: depends on a at file:../a',
    'percpu: has dependencies',
  ])
})

test('reports links that lead nowhere', (t) => {
  const root = makeTree(t, {
    'README.md':
      '[a](docs/a.md) [b](docs/b.md) [c](docs/a.md#how-it-works) [d](docs/a.md#why) [e](https://e.org) [f](#title)',
    'docs/a.md': '# A\n\n## How it works\n\n```js\na[0](b)\n```\n[up](../README.md)',
  })
  assert.deepEqual(linkProblems(root), [
    'README.md: the link to docs/b.md leads nowhere',
    'README.md: the link to docs/a.md#why leads nowhere',
    'README.md: the link to #title leads nowhere',
  ])
})

test('a part of the README has another text in a package', () => {
  const text = 'a\n<!-- repository -->\nclone it\n<!-- package\ninstall it\n-->\nb\n'
  assert.equal(forPackage(text), 'a\ninstall it\nb\n')
})

test('links lead to the same file in a package, or are named', () => {
  const places = new Map([
    ['README.md', 'README.md'],
    ['docs/sync.md', 'docs/sync.md'],
  ])
  const relinked = (text, source = 'README.md') => relink(text, source, 'percpu', places)
  assert.equal(relinked('[locks](docs/sync.md#mutex)'), '[locks](docs/sync.md#mutex)')
  assert.equal(relinked('[`x`](../packages/percpu/src/x.ts)', 'docs/sync.md'), '[`x`](../src/x.ts)')
  assert.equal(relinked('[up](../README.md)', 'docs/sync.md'), '[up](../README.md)')
  assert.equal(relinked('[lab.md](docs/lab.md)'), 'lab.md (of the package `percpu-lab`)')
  assert.equal(
    relinked('[torture](docs/torture.md)'),
    'torture: docs/torture.md (of the package `percpu-console`)',
  )
  assert.equal(relinked('[`percpu-lab`](docs/packages/percpu-lab.md)'), '`percpu-lab`')
  assert.equal(relinked('[gone](docs/gone.md)'), 'gone')
  assert.equal(relinked('[site](https://example.org) [here](#a)'), '[site](https://example.org) [here](#a)')
})

test('no text of the repository is in two packages, and each is in one', () => {
  const texts = Object.keys(packages).map((name) => [...packageTexts(repositoryRoot, name).keys()])
  const all = texts.flat().filter((file) => !['README.md', 'LICENSE'].includes(file))
  const docs = listFiles(path.join(repositoryRoot, 'docs'), ['.md'], ['packages']).map(
    (file) => `docs/${file}`,
  )
  assert.equal(new Set(all).size, all.length)
  assert.deepEqual(
    docs.filter((file) => !all.includes(file)),
    [],
  )
})
