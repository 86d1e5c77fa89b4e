// A private copy of the built workspace, in which a compiled file can be replaced.

import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { joinedFiles, joinModules, library } from './joined-modules.mjs'

const skipped = ['node_modules', '.git']

/**
 * Copies what lies below `root` to a temporary directory. Third-party modules are
 * links to the originals; the workspace's own packages (`node_modules/percpu`) are links to the
 * copies, so that an import of `percpu` from a copied test finds the copied library.
 */
export function copyWorkspace(root) {
  const original = realpathSync(root)
  const copy = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'percpu-mutant-')))
  // A test may run a program as another user.
  chmodSync(copy, 0o755)
  const isCopied = (source) => !skipped.includes(path.basename(source))
  for (const name of readdirSync(original).filter(isCopied)) {
    cpSync(path.join(original, name), path.join(copy, name), { recursive: true, filter: isCopied })
  }
  const packages = readdirSync(path.join(original, 'packages')).map((name) => `packages/${name}`)
  for (const directory of ['', 'bench', 'examples', ...packages]) linkModules(original, copy, directory)
  return {
    path: copy,
    replace: createReplace(copy),
    remove: () => rmSync(copy, { recursive: true, force: true }),
  }
}

/**
 * Makes `replace(changes)`, which writes compiled files, `{ output, js }`, in the workspace `copy`,
 * and joins the modules of the library anew if one of them has changed. It resolves with a function
 * that puts all the originals back.
 */
function createReplace(copy) {
  return async (changes) => {
    const originals = new Map()
    const write = (file, text) => {
      const target = path.join(copy, file)
      if (!originals.has(target)) originals.set(target, readFileSync(target, 'utf8'))
      writeFileSync(target, text)
    }
    const restore = () => originals.forEach((text, target) => writeFileSync(target, text))
    try {
      for (const { output, js } of changes) write(output, js)
      if (changes.some(({ output }) => output.startsWith(`${library}/built/`))) {
        const texts = await joinModules(copy)
        for (const name of joinedFiles.filter((one) => texts.has(one)))
          write(`${library}/dist/${name}`, texts.get(name))
      }
    } catch (error) {
      restore()
      throw error
    }
    return restore
  }
}

function linkModules(original, copy, directory) {
  const from = path.join(original, directory, 'node_modules')
  if (!existsSync(from)) return
  const to = path.join(copy, directory, 'node_modules')
  mkdirSync(to, { recursive: true })
  for (const name of readdirSync(from)) {
    if (name.startsWith('.')) continue
    if (name.startsWith('@')) linkScope(original, copy, path.join(from, name), path.join(to, name))
    else linkModule(original, copy, path.join(from, name), path.join(to, name))
  }
}

function linkScope(original, copy, from, to) {
  mkdirSync(to)
  for (const name of readdirSync(from)) linkModule(original, copy, path.join(from, name), path.join(to, name))
}

function linkModule(original, copy, from, to) {
  const target = realpathSync(from)
  const inWorkspace = path.relative(original, target)
  const isWorkspace = lstatSync(from).isSymbolicLink() && !/^\.\.|^node_modules/.test(inWorkspace)
  symlinkSync(isWorkspace ? path.join(copy, inWorkspace) : target, to)
}
