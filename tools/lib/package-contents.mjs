// What is in a packed package, and what should be.

import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { listFiles } from './cli.mjs'
import { joinedFiles } from './joined-modules.mjs'

const texts = ['package.json', 'README.md', 'LICENSE']
const code = joinedFiles.flatMap((name) => [name, `${name}.map`]).map((name) => `dist/${name}`)

/** What each package needs, and what else it may have. */
const contents = {
  percpu: {
    needed: [
      ...[...texts, 'dist/index.js', ...code, 'docs/recipes.md'],
      ...['dist/percpu.d.ts', 'dist/errors.d.ts', 'dist/mem/mem.d.ts'],
    ],
    allowed: /^(src\/.*\.ts|dist\/mem\/[\w-]+\.d\.ts|docs\/[\w-]+\.md|examples\/[\w-]+\.js)$/,
  },
  'percpu-lab': {
    needed: [...texts, 'bin/percpu-lab.js', 'dist/index.js', 'dist/index.d.ts', 'docs/lab.md'],
    allowed: /^(dist\/.*\.(js|d\.ts)|litmus\/.*|page\/.*|docs\/[\w-]+\.md|examples\/lab-[\w-]+\.js)$/,
  },
  'percpu-console': {
    needed: [
      ...[...texts, 'NOTICE', 'bin/percpu.js', 'dist/index.js', 'dist/index.d.ts'],
      ...['docs/serve.md', 'page/index.html'],
    ],
    allowed: /^(dist\/.*\.(js|d\.ts)|page\/[\w-]+\.(js|css|svg)|docs\/[\w-]+\.md)$/,
  },
}
/** The folder of each package whose sources its compiled files come from. */
const folders = { 'percpu-lab': 'packages/lab', 'percpu-console': 'packages/console' }

/** What is wrong with the `files` of the package `name`. `root` has the sources. */
export function contentProblems(name, files, root) {
  const { needed, allowed } = contents[name]
  const present = new Set(files)
  const problems = needed.filter((file) => !present.has(file)).map((file) => `${name}: ${file} is missing`)
  for (const file of files) {
    if (!needed.includes(file) && !allowed.test(file)) problems.push(`${name}: ${file} does not belong in it`)
    const source = /^dist\/(.*?)(\.d\.ts|\.js)$/.exec(file)?.[1]
    if (
      name in folders &&
      source !== undefined &&
      !existsSync(path.join(root, folders[name], 'src', `${source}.ts`))
    )
      problems.push(`${name}: ${file} has no source: run npm run clean, and build`)
  }
  return problems
}

/** What an installer would see go wrong in a package.json. */
export function manifestProblems(name, manifest) {
  const problems = []
  if (manifest.private) problems.push('is private')
  if (manifest.name !== name) problems.push(`is called ${manifest.name}`)
  for (const field of ['description', 'license', 'engines', 'exports', 'files', 'version'])
    if (manifest[field] === undefined) problems.push(`has no ${field}`)
  for (const [dependency, range] of Object.entries(manifest.dependencies ?? {}))
    if (/^(file|link|workspace):/.test(range)) problems.push(`depends on ${dependency} at ${range}`)
  if (name === 'percpu' && manifest.dependencies !== undefined) problems.push('has dependencies')
  return problems.map((problem) => `${name}: ${problem}`)
}

/** The relative links of the Markdown files below `directory` that lead nowhere. */
export function linkProblems(directory) {
  return listFiles(directory, ['.md']).flatMap((name) => {
    const text = readFileSync(path.join(directory, name), 'utf8').replace(/^```[^]*?^```/gm, '')
    const links = [...text.matchAll(/\]\(([^()\s]+)\)/g)].map(([, target]) => target)
    return links
      .filter((target) => !/^[a-z]+:/.test(target) && !leadsSomewhere(directory, name, target))
      .map((target) => `${name}: the link to ${target} leads nowhere`)
  })
}

function leadsSomewhere(directory, name, target) {
  const [file, anchor] = target.split('#')
  const full = file === '' ? path.join(directory, name) : path.join(directory, path.dirname(name), file)
  if (!existsSync(full)) return false
  return anchor === undefined || anchors(readFileSync(full, 'utf8')).includes(anchor)
}

/** The anchors of the headings of a Markdown text. */
function anchors(markdown) {
  const headings = markdown.replace(/^```[^]*?^```/gm, '').matchAll(/^#+ (.*)$/gm)
  return [...headings].map(([, heading]) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  )
}
