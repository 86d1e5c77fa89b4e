// Which folder a source file is counted under, and which tests are its own. Both follow from where
// files lie, so that a new folder needs no entry anywhere.

import path from 'node:path'
import { findTests } from '../run-tests.mjs'
import { listFiles } from './cli.mjs'

/** The package that is scored folder by folder. Each other package counts as one folder. */
const library = 'percpu'

/**
 * Lists the source files below `root`, each as `{ file, folder, tests }`. The folder of a file of
 * the library is its layer: `percpu/sync`, or `percpu` right below `src`.
 *
 * The tests of `packages/P/src/F/…` are all below `packages/P/test/F`. Where there are none, and
 * for files right below `src`, they are all of package P. They are compiled files, relative to `root`.
 * `problems` tells of tests that are not compiled, and of sources without tests.
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
      .map(({ file }) => ({ file, line: 1, message: 'has no tests in its package' })),
  ]
  return { sources, problems }
}

function testsOf(tests, inPackage, inFolder) {
  const below = (prefix) => tests.filter((test) => test.startsWith(prefix))
  const own = inFolder === undefined ? [] : below(`packages/${inPackage}/dist-test/${inFolder}/`)
  return own.length > 0 ? own : below(`packages/${inPackage}/dist-test/`)
}

/** Whether a source file is, or lies in, `named`: `packages/percpu/src/sync`, `percpu/sync`, `lab`. */
export function isBelow({ file }, named) {
  const [, inPackage, rest] = /^(?:packages\/)?([^/]+)(?:\/src)?((?:\/.*?)?)\/*$/.exec(named) ?? []
  return inPackage !== undefined && `${file}/`.startsWith(`packages/${inPackage}/src${rest}/`)
}
