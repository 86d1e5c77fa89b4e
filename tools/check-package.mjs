// Checks the three packages as their users get them: packs them, and looks at the tarballs only.
//
// 1. Each holds what it should, and nothing that a deleted source or a test left behind. Links of
//    its README and docs lead somewhere. Its package.json is one that can be published.
// 2. publint and attw find nothing wrong with its exports and types.
// 3. Installed in an empty project, the examples of the READMEs and the recipes print what the
//    texts show, and the commands start.
// 4. Strict programs compile against percpu (lib/package-types.mjs).
//
//     node tools/check-package.mjs

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { isMain, listFiles, repositoryRoot } from './lib/cli.mjs'
import { contentProblems, linkProblems, manifestProblems } from './lib/package-contents.mjs'
import { packages } from './lib/package-texts.mjs'
import { typeProblems } from './lib/package-types.mjs'
import { normalizeOutput, readmeExample } from './lib/readme-example.mjs'

const minute = 60_000

/** Packs the package in `folder` into `directory`; gives the tarball's path. */
function pack(folder, directory) {
  const file = execFileSync('npm', ['pack', '--silent', '--pack-destination', directory], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  })
  return path.join(directory, file.trim())
}

/** Runs an example's main.js in `project`, where its imports are installed. Gives the problems. */
export function exampleProblems(markdown, project) {
  const { files, output } = readmeExample(markdown)
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(project, name)), { recursive: true })
    writeFileSync(path.join(project, name), text)
  }
  const run = spawnSync(process.execPath, ['main.js'], { cwd: project, encoding: 'utf8', timeout: minute })
  const problems = []
  if (run.error) problems.push(`main.js: ${run.error.message}`)
  else if (run.status !== 0) problems.push(`main.js ended with ${run.signal ?? run.status}\n${run.stderr}`)
  if (normalizeOutput(run.stdout) !== normalizeOutput(output)) {
    problems.push(
      `main.js printed\n${normalizeOutput(run.stdout)}\nand the text shows\n${normalizeOutput(output)}`,
    )
  }
  return problems
}

/** An empty project with the tarballs installed, and with what the recipes and types ask for. */
function install(tarballs, project) {
  mkdirSync(project)
  writeFileSync(path.join(project, 'package.json'), '{ "private": true, "type": "module" }\n')
  const others = ['piscina', '@types/node'].map((name) => `${name}@${installedVersion(name)}`)
  execFileSync(
    'npm',
    ['install', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=warn', ...tarballs, ...others],
    { cwd: project, stdio: 'inherit' },
  )
}
function installedVersion(name) {
  const file = path.join(repositoryRoot, 'node_modules', name, 'package.json')
  return JSON.parse(readFileSync(file, 'utf8')).version
}

/** The problems of the examples in the installed packages. */
function textProblems(project) {
  const installed = (name, file) => readFileSync(path.join(project, 'node_modules', name, file), 'utf8')
  const recipes = installed('percpu', 'docs/recipes.md')
    .split(/^(?=## )/m)
    .slice(1)
  return [installed('percpu', 'README.md'), installed('percpu-lab', 'README.md'), ...recipes].flatMap(
    (text) => exampleProblems(text, project).map((problem) => `${text.split('\n', 1)[0]}: ${problem}`),
  )
}

/** The commands start, and one answers as the README of the console says. */
function commandProblems(project) {
  const answers = [
    ['percpu', ['--version'], '', /^\d+\.\d+\.\d+\n$/],
    ['percpu-lab', ['--version'], '', /^\d+\.\d+\.\d+\n$/],
    ['percpu', ['lookup'], '1.1.1.1\n', /"asn":13335/],
  ]
  return answers.flatMap(([command, args, input, expected]) => {
    const file = path.join(project, 'node_modules/.bin', command)
    const { stdout, stderr } = spawnSync(file, args, {
      cwd: project,
      input,
      encoding: 'utf8',
      timeout: minute,
    })
    return expected.test(stdout) ? [] : [`${command} ${args.join(' ')} printed ${stdout}${stderr}`]
  })
}

function runTool(name, args) {
  const { status, signal, error } = spawnSync(path.join(repositoryRoot, 'node_modules/.bin', name), args, {
    stdio: 'inherit',
  })
  if (error) throw error
  return status === 0 ? [] : [`${name} ended with ${signal ?? status}`]
}

function main() {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'percpu-package-'))
  try {
    const names = Object.keys(packages)
    const tarballs = names.map((name) => pack(path.join(repositoryRoot, packages[name].folder), directory))
    const project = path.join(directory, 'project')
    install(tarballs, project)
    const problems = names.flatMap((name, i) => {
      const folder = path.join(project, 'node_modules', name)
      return [
        ...contentProblems(name, listFiles(folder, ['']), repositoryRoot),
        ...manifestProblems(name, JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'))),
        ...linkProblems(folder).map((problem) => `${name}: ${problem}`),
        ...runTool('publint', [tarballs[i], '--strict']),
        ...runTool('attw', [tarballs[i], '--quiet', '--profile', 'esm-only']),
      ]
    })
    problems.push(...typeProblems(project), ...textProblems(project), ...commandProblems(project))
    for (const problem of problems) console.error(`package: ${problem}`)
    if (problems.length > 0) process.exitCode = 1
    else console.log('package: all three install, and run the examples of their texts')
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

if (isMain(import.meta.url)) main()
