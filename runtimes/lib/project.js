// A project as an installer of percpu has it: the packed package, and the programs of this folder.

import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { readmeExample } from '../../tools/lib/readme-example.mjs'

/** This folder. */
export const here = fileURLToPath(new URL('..', import.meta.url))
export const root = path.join(here, '..')

/** Gives the folder of the project. */
export function makeProject() {
  const project = mkdtempSync(path.join(os.tmpdir(), 'percpu-runtimes-'))
  const tarball = execFileSync('npm', ['pack', '--silent', '--pack-destination', project], {
    cwd: path.join(root, 'packages/percpu'),
    encoding: 'utf8',
  })
  writeFileSync(path.join(project, 'package.json'), '{ "private": true, "type": "module" }\n')
  const install = ['install', '--offline', '--no-audit', '--no-fund', '--silent', tarball.trim()]
  execFileSync('npm', install, { cwd: project, stdio: 'inherit' })
  for (const folder of ['suite', 'programs', 'web'])
    cpSync(path.join(here, folder), path.join(project, folder), { recursive: true })
  writeExample(path.join(project, 'readme'), path.join(root, 'README.md'))
  writeExample(path.join(project, 'invited'), path.join(root, 'docs/runtimes.md'))
  for (const tool of ['vite', 'webpack', 'jest', 'jest-environment-jsdom', 'vitest'])
    symlinkSync(path.join(here, 'node_modules', tool), path.join(project, 'node_modules', tool))
  return project
}

/** The example of a page, as files, and what it is to print. */
function writeExample(folder, page) {
  const { files, output } = readmeExample(readFileSync(page, 'utf8'))
  mkdirSync(folder)
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text)
  writeFileSync(path.join(folder, 'output.txt'), output)
}
