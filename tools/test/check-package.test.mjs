import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import { contentProblems, exampleProblems } from '../check-package.mjs'
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
    /printed\none\ntwo 3\nand the README shows\none\ntwo 4/,
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
    'dist/index.d.ts',
    'dist/percpu.js',
    'dist/percpu.js.map',
    'dist/mem/mem.js',
    'dist/mem/mem.js.map',
    'src/index.ts',
  ]
  assert.deepEqual(contentProblems(good), [])
  assert.deepEqual(contentProblems(good.filter((file) => file !== 'LICENSE' && file !== 'dist/index.d.ts')), [
    'LICENSE is missing',
    'dist/index.d.ts is missing',
  ])
  const found = contentProblems([...good, 'dist/boot.js', 'dist/gone.d.ts.map', 'test/a.ts'])
  assert.deepEqual(found, [
    'dist/boot.js does not belong in a package',
    'dist/gone.d.ts.map has no source: run npm run clean, and build',
    'test/a.ts does not belong in a package',
  ])
})
