// Checks percpu as its users get it: packs it, and looks at the tarball only.
//
// 1. It holds what it should, and nothing that a deleted source or a test left behind.
// 2. publint and attw find nothing wrong with its exports and types.
// 3. Installed offline in an empty project, it runs the README's example with the output that the
//    README shows.
// 4. Its declarations compile in a strict TypeScript program that checks those of its libraries.
//
//     node tools/check-package.mjs

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { isMain, listFiles, repositoryRoot } from './lib/cli.mjs'
import { joinedFiles } from './lib/joined-modules.mjs'
import { normalizeOutput, readmeExample } from './lib/readme-example.mjs'

const minute = 60_000

/** Packs the package in `folder` into `directory`; gives the tarball's path. */
function pack(folder, directory) {
  execFileSync('npm', ['pack', '--silent', '--pack-destination', directory], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const name = readdirSync(directory).find((file) => file.endsWith('.tgz'))
  if (name === undefined) throw new Error('npm pack wrote no tarball')
  return path.join(directory, name)
}

const code = ['index.js', ...joinedFiles.flatMap((name) => [name, `${name}.map`])].map(
  (name) => `dist/${name}`,
)
const needed = ['package.json', 'README.md', 'LICENSE', ...code, 'dist/index.d.ts']

/** Says what is wrong with the files of an unpacked package. */
export function contentProblems(files) {
  const present = new Set(files)
  const problems = needed.filter((file) => !present.has(file)).map((file) => `${file} is missing`)
  for (const file of files) {
    const source = /^dist\/(.*)\.d\.ts(\.map)?$/.exec(file)?.[1]
    if (source !== undefined && !present.has(`src/${source}.ts`))
      problems.push(`${file} has no source: run npm run clean, and build`)
    else if (source === undefined && !needed.includes(file) && !file.startsWith('src/'))
      problems.push(`${file} does not belong in a package`)
  }
  return problems
}

/** Runs a README's example in `project`, where its imports are installed. Gives the problems. */
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
      `main.js printed\n${normalizeOutput(run.stdout)}\nand the README shows\n${normalizeOutput(output)}`,
    )
  }
  return problems
}

function install(tarball, project) {
  mkdirSync(project)
  writeFileSync(path.join(project, 'package.json'), '{ "private": true, "type": "module" }\n')
  execFileSync('npm', ['install', '--offline', '--no-audit', '--no-fund', '--silent', tarball], {
    cwd: project,
    stdio: 'inherit',
  })
  return path.join(project, 'node_modules/percpu')
}

/** Compiles a program that imports all of the package. `lib` is what the README asks for. */
function typeProblems(installed, project) {
  const { exports } = JSON.parse(readFileSync(path.join(installed, 'package.json'), 'utf8'))
  const names = Object.keys(exports).filter((name) => !name.endsWith('.json'))
  const program = names.map((name) => `import '${path.posix.join('percpu', name)}'\n`).join('')
  writeFileSync(path.join(project, 'types.ts'), program)
  const compilerOptions = {
    strict: true,
    noEmit: true,
    module: 'nodenext',
    lib: ['es2022'],
    types: [],
  }
  const config = path.join(project, 'tsconfig.json')
  writeFileSync(config, JSON.stringify({ compilerOptions, files: ['types.ts'] }))
  return runTool('tsc', ['-p', config])
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
    const tarball = pack(path.join(repositoryRoot, 'packages/percpu'), directory)
    const project = path.join(directory, 'project')
    const installed = install(tarball, project)
    const problems = [
      ...contentProblems(listFiles(installed, [''])),
      ...runTool('publint', [tarball, '--strict']),
      ...runTool('attw', [tarball, '--profile', 'esm-only']),
      ...typeProblems(installed, project),
      ...exampleProblems(readFileSync(path.join(installed, 'README.md'), 'utf8'), project),
    ]
    for (const problem of problems) console.error(`package: ${problem}`)
    if (problems.length > 0) process.exitCode = 1
    else console.log('package: installs, and runs the example of its README')
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

if (isMain(import.meta.url)) main()
