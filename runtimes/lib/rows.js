// The rows of docs/runtimes.md: what each runtime is asked to do.

import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { normalizeOutput } from '../../tools/lib/readme-example.mjs'
import { chromiumVersion, loadPage } from './chromium.js'
import { attempt, judge, runProgram } from './program.js'
import { here } from './project.js'
import { serve } from './serve.js'

const bin = (name) => path.join(here, 'node_modules', name)
const installed = (name) => JSON.parse(readFileSync(bin(`${name}/package.json`), 'utf8')).version
const print = (text) => text.trim().split('\n').at(-1)

/** One of the runtimes that have node:worker_threads. `readme`: the folder with its program. */
function threadsRow(name, file, args = [], { readme = 'readme' } = {}) {
  const run = (cwd, program) => runProgram(file, [...args, program], { cwd })
  const suite = (project, program) => async () => judge(JSON.parse(print(await run(project, program))))
  return {
    name,
    async run(project) {
      const version = await attempt(
        async () => /\d+\.\d+\.\d+/.exec(await runProgram(file, ['--version'], {}))[0],
      )
      return {
        version,
        'README program': await attempt(async () => {
          const folder = path.join(project, readme)
          compareOutput(await run(folder, 'main.js'), folder)
        }),
        suite: await attempt(suite(project, 'suite/node.js')),
        ...(name.startsWith('Node')
          ? {}
          : { 'web workers': await attempt(suite(project, 'suite/bun-deno-web.js')) }),
        require: await attempt(() => run(project, 'programs/require.cjs').then(() => 'yes')),
      }
    },
  }
}

function compareOutput(printed, folder) {
  const [found, wanted] = [printed, readFileSync(path.join(folder, 'output.txt'), 'utf8')].map(
    normalizeOutput,
  )
  if (found !== wanted) throw new Error(`printed\n${found}\nand not\n${wanted}`)
}

/** Paths instead of names: pages and their workers have no packages. */
const served = {
  percpu: '/node_modules/percpu/dist/index.js',
  'node:events': '/web/threads.js',
  'node:worker_threads': '/web/threads.js',
}
function withPaths(text) {
  return text.replace(/from '([\w:]+)'/g, (whole, name) => (served[name] ? `from '${served[name]}'` : whole))
}

const pages = {
  name: 'Chromium',
  async run(project) {
    const address = await serve(project, { edit: withPaths })
    return {
      version: await attempt(chromiumVersion),
      'README program': await attempt(async () => {
        const { lines } = await loadPage(`${address}/web/readme.html`)
        compareOutput(lines.join('\n'), path.join(project, 'invited'))
      }),
      suite: 'in web workers',
      'web workers': await attempt(async () => {
        await checkRefused(project)
        return judge((await loadPage(`${address}/web/index.html`)).outcome)
      }),
    }
  },
}

/** Without isolation a page has no shared memory. */
async function checkRefused(project) {
  const address = await serve(project, { edit: withPaths, headers: {} })
  const { outcome } = await loadPage(`${address}/web/plain.html`)
  if (outcome !== 'PERCPU_UNSUPPORTED') throw new Error(`without isolation: ${outcome}`)
}

/** A tool that makes files of web/page.js, in a folder of its own. */
function bundlerRow(name, args, page) {
  const tool = name.toLowerCase()
  return {
    name,
    async run(project) {
      const bundle = async () => {
        const made = path.join(project, 'made', tool)
        await runProgram(process.execPath, args, { cwd: project })
        if (page) writeFileSync(path.join(made, 'index.html'), page)
        return judge((await loadPage(`${await serve(made)}/index.html`)).outcome)
      }
      return { version: await attempt(() => installed(tool)), 'web workers': await attempt(bundle) }
    },
  }
}

/** A test runner that loads percpu in a test of its own. */
function testerRow(name, args) {
  const [tool] = name.split(',')
  const load = async (project) => {
    await runProgram(process.execPath, args, { cwd: project })
    return 'loads it'
  }
  return {
    name,
    run: async (project) => ({
      version: await attempt(() => installed(tool)),
      suite: await attempt(() => load(project)),
    }),
  }
}
const jest = [
  '--experimental-vm-modules',
  bin('jest/bin/jest.js'),
  '--rootDir=programs',
  '--testMatch=**/percpu.test.js',
]

export const rows = [
  ...[20, 22, 24, 26].map((major) => threadsRow(`Node ${major}`, bin(`node${major}/bin/node`))),
  threadsRow('Bun', bin('.bin/bun')),
  threadsRow('Deno', bin('.bin/deno'), ['run', '--allow-read'], { readme: 'invited' }),
  pages,
  bundlerRow('Vite', [bin('vite/bin/vite.js'), 'build', 'web', '--base=./', '--outDir=../made/vite']),
  bundlerRow('webpack', ['programs/webpack.js'], '<!doctype html>\n<script src="./main.js"></script>\n'),
  testerRow('jest', jest),
  testerRow('jest, jsdom', [...jest, '--env=jsdom']),
  testerRow('vitest', [bin('vitest/vitest.mjs'), 'run', '--root=programs', '--globals']),
]
