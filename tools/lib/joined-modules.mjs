// Joins the modules of percpu: a thread that loads one file instead of hundreds starts in less than
// half the time.
//
//     built/sync/mutex.js   each module, as tsc compiled it
//     dist/percpu.js        all of them, but for the two that follow
//     dist/errors.js        what all errors extend: for who tells errors apart, and loads no more
//     dist/mem/mem.js       what lies behind `#mem`: the lab and tests put others in its place
//                           (percpu.js has it by its path: a page's workers know no import maps)
//     dist/index.js         exports from percpu.js what src/index.ts does
//     dist/sync/mutex.js    exports from percpu.js what src/sync/mutex.ts does, for tests
//
// The first four of dist are shipped. A test of a single module finds the classes that a program
// finds in `percpu`, in the file that is shipped.

import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { rolldown } from 'rolldown'
import { listFiles } from './cli.mjs'

/** Where the library is, in a workspace. */
export const library = 'packages/percpu'
/** The files with code, as paths in dist. Each has a source map beside it. */
export const joinedFiles = ['percpu.js', 'errors.js', 'mem/mem.js']

const isMemory = (name) => name.startsWith('mem/')
/** Whether a module, by its path without the ending, stays out of percpu.js. */
const isApart = (name) => isMemory(name) || name === 'errors'

/**
 * The file that has the code of a source file once it is loaded, both relative to the workspace
 * below `root`. A library that is not compiled to be joined is loaded module by module.
 */
export function loadedFrom(root, source) {
  const name = path.posix.relative(`${library}/src`, source)
  if (name.startsWith('..') || !existsSync(path.join(root, library, 'built')))
    return source.replace('/src/', '/dist/').replace(/\.ts$/, '.js')
  if (isMemory(name)) return `${library}/dist/mem/mem.js`
  return `${library}/dist/${name === 'errors.ts' ? 'errors.js' : 'percpu.js'}`
}

/**
 * Joins the modules of the workspace below `root`. Resolves with a map of the texts of dist by
 * their paths there. Modules are found by their sources: a build leaves those of deleted ones.
 */
export async function joinModules(root) {
  const cwd = path.join(root, library)
  const names = listFiles(path.join(cwd, 'src'), ['.ts'])
    .map((name) => name.replace(/\.ts$/, ''))
    .filter((name) => !isMemory(name) || joinedFiles.includes(`${name}.js`))
  const bundle = await rolldown({
    cwd,
    input: Object.fromEntries(names.map((name) => [name, `./built/${name}.js`])),
    external: ['#mem'],
    treeshake: false,
    preserveEntrySignatures: 'strict',
    plugins: [{ name: 'compiled', load: { filter: { id: /\.js$/ }, handler: loadCompiled } }],
  })
  try {
    const { output } = await bundle.generate({
      entryFileNames: '[name].js',
      chunkFileNames: '[name].js',
      codeSplitting: {
        groups: [
          { name: 'errors', test: (id) => builtName(cwd, id) === 'errors', priority: 1 },
          { name: 'percpu', test: (id) => !isApart(builtName(cwd, id)) },
        ],
      },
      minifyInternalExports: false,
      comments: false,
      paths: { '#mem': './mem/mem.js' },
      sourcemap: true,
      sourcemapExcludeSources: true,
    })
    return textsOf(output)
  } finally {
    await bundle.close()
  }
}

/** A module, with the source map that leads on to its source. */
function loadCompiled(id) {
  const map = `${id}.map`
  return { code: readFileSync(id, 'utf8'), map: existsSync(map) ? readFileSync(map, 'utf8') : null }
}

function builtName(cwd, id) {
  return path.relative(path.join(cwd, 'built'), id).replaceAll(path.sep, '/').replace(/\.js$/, '')
}

function textsOf(output) {
  const texts = output.map(({ fileName, code, source }) => [fileName, narrow(code ?? source)])
  const isShipped = (name) => joinedFiles.includes(name.replace(/\.map$/, ''))
  // A file that only exports needs no source map.
  return new Map(
    texts
      .filter(([name]) => name.endsWith('.js') || isShipped(name))
      .map(([name, text]) => [name, isShipped(name) ? text : text.replace(/\n\/\/# sourceMapp.*/, '')]),
  )
}

/** One character above U+00FF, in a string, would double what the text takes in each thread. */
function narrow(text) {
  return text.replace(/[^\0-\xff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
