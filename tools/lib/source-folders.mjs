// Which folder a source file is counted under, and which tests are its own. Both follow from where
// files lie, but for the few folders whose tests stand in another one.

import path from 'node:path'
import { findTests } from '../run-tests.mjs'
import { listFiles } from './cli.mjs'

/** The package that is scored folder by folder. Each other package counts as one folder. */
const library = 'percpu'

/** Source folders without a test folder of their name, and the folders where their tests are. */
export const testedIn = {
  'console/bench': ['commands'],
  'lab/explore': ['engine', 'report'],
  'lab/mem': ['engine', 'foreign'],
  'lab/oracles': ['engine'],
  'lab/scenario': ['engine', 'report'],
  'lab/search': ['engine', 'command'],
  'percpu/pagetable': ['paging'],
}

/** Test folders of the library that go through all its layers. */
export const testsOfAll = ['doors', 'inject']

/**
 * Lists the source files below `root`, each as `{ file, folder, tests }`. The folder of a file of
 * the library is its layer: `percpu/sync`, or `percpu` right below `src`.
 *
 * The tests of `packages/P/src/F/…` are all below `packages/P/test/F`, or where the table says, and
 * for the library those that go through all layers. Those of files right below `src` are all of
 * package P. They are compiled files, relative to
 * `root`. `problems` tells of tests that are not compiled, and of sources without tests.
 */
export function readSourceFolders(root) {
  const { files: tests, missing } = findTests(root, ['packages/'])
  const sources = listFiles(path.join(root, 'packages'), ['.ts'])
    .map((name) => /^([^/]+)\/src\/(?:([^/]+)\/)?/.exec(name))
    .filter((match) => match !== null && !match.input.endsWith('.d.ts'))
    .map(({ input, 1: inPackage, 2: inFolder }) => ({
      file: `packages/${input}`,
      folder: inPackage === library && inFolder !== undefined ? `${inPackage}/${inFolder}` : inPackage,
      tests: testsOf(tests, inPackage, inFolder),
    }))
  const problems = [
    ...missing.map((file) => ({ file, line: 1, message: 'is not compiled: run npm run build' })),
    ...sources
      .filter((source) => source.tests.length === 0)
      .map(({ file }) => ({
        file,
        line: 1,
        message: 'has no tests: its folder has none, and is not in tools/lib/source-folders.mjs',
      })),
  ]
  return { sources, problems }
}

function testsOf(tests, inPackage, inFolder) {
  const below = (folders) =>
    folders.flatMap((folder) =>
      tests.filter((test) => test.startsWith(`packages/${inPackage}/dist-test/${folder}`)),
    )
  if (inFolder === undefined) return below([''])
  const folders = testedIn[`${inPackage}/${inFolder}`] ?? [inFolder]
  const own = below(folders.map((folder) => `${folder}/`))
  // What goes through all layers is not enough for a layer that has no tests of its own.
  if (inPackage !== library || own.length === 0) return own
  return [...own, ...below(testsOfAll.map((folder) => `${folder}/`))]
}

/**
 * Whether a source file is, or lies in, `named`: `packages/percpu/src/sync`, `percpu/sync`, `lab`.
 */
export function isBelow({ file }, named) {
  const [, inPackage, rest] = /^(?:packages\/)?([^/]+)(?:\/src)?((?:\/.*?)?)\/*$/.exec(named) ?? []
  return inPackage !== undefined && `${file}/`.startsWith(`packages/${inPackage}/src${rest}/`)
}
