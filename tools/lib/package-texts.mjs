// The README and the docs of each package, made from those of the repository.
//
// A link leads to the same file inside the package. What the package does not have is named in its
// place. In the README of the repository a part can have another text in the package:
//
//     <!-- repository -->
//     With a clone: ...
//     <!-- package
//     npm install percpu
//     -->

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { listFiles } from './cli.mjs'

const ofLab = ['docs/lab.md', 'docs/litmus.md', 'examples/lab-two-contexts.js', 'examples/lab-walker.js']
const ofConsole = ['docs/page.md', 'docs/serve.md', 'docs/table-log.md', 'docs/tables.md', 'docs/torture.md']

/** What each package has of the repository, by its name. `others` says what is in no other one. */
export const packages = {
  percpu: { folder: 'packages/percpu', readme: 'README.md', others: true },
  'percpu-lab': { folder: 'packages/lab', readme: 'docs/packages/percpu-lab.md', texts: ofLab },
  'percpu-console': {
    folder: 'packages/console',
    readme: 'docs/packages/percpu-console.md',
    texts: ofConsole,
  },
}

/** The files of the package `name` below `root`: a map of their texts by their paths in it. */
export function packageTexts(root, name) {
  const places = placesOf(root, name)
  return new Map(
    [...places].map(([source, place]) => {
      const text = readFileSync(path.join(root, source), 'utf8')
      return [place, source.endsWith('.md') ? relink(forPackage(text), source, name, places) : text]
    }),
  )
}

/** Where the texts of the repository are in a package, by their paths in the repository. */
function placesOf(root, name) {
  const { readme, texts, others = false } = packages[name]
  const own = others ? [...docs(root), ...examples(root)].filter((file) => ownerOf(file) === name) : texts
  return new Map([[readme, 'README.md'], ['LICENSE', 'LICENSE'], ...own.map((file) => [file, file])])
}

function docs(root) {
  return listFiles(path.join(root, 'docs'), ['.md'], ['packages']).map((file) => `docs/${file}`)
}
function examples(root) {
  return listFiles(path.join(root, 'examples'), ['.js'], ['dist', 'node_modules']).map(
    (file) => `examples/${file}`,
  )
}

/** The package that has the file. */
function ownerOf(file) {
  const inside = Object.keys(packages).find(
    (name) => packages[name].readme === file || file.startsWith(`${packages[name].folder}/`),
  )
  return inside ?? Object.keys(packages).find((name) => packages[name].texts?.includes(file)) ?? 'percpu'
}

/** The text with its parts for packages, and without those for the repository. */
export function forPackage(text) {
  return text.replace(/<!-- repository -->\n[^]*?<!-- package\n([^]*?)-->\n/g, '$1')
}

/**
 * The Markdown `text` of the file `source`, with links as they are in the package `name`. `places`
 * are the paths in the package by those in the repository.
 */
export function relink(text, source, name, places) {
  const from = path.posix.dirname(places.get(source))
  return text.replace(/\[((?:[^[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)/g, (link, label, target) => {
    if (/^[a-z]+:|^#/.test(target)) return link
    const [file, anchor] = target.split('#')
    const wanted = path.posix.normalize(path.posix.join(path.posix.dirname(source), file))
    // Only percpu brings its sources.
    const place =
      wanted.startsWith(`${packages[name].folder}/src/`) && name === 'percpu'
        ? path.posix.relative(packages[name].folder, wanted)
        : places.get(wanted)
    if (place === undefined) return elsewhere(label, wanted, name)
    const relative = path.posix.relative(from, place)
    return `[${label}](${relative}${anchor === undefined ? '' : `#${anchor}`})`
  })
}

function elsewhere(label, wanted, name) {
  const owner = ownerOf(wanted)
  if (owner === name || packages[owner].readme === wanted) return label
  const file = label.endsWith(path.posix.basename(wanted)) ? label : `${label}: ${wanted}`
  return `${file} (of the package \`${owner}\`)`
}
