/**
 * Transforms files as Node loads them, so that a lab can run foreign code that does not know of it.
 */
import module from 'node:module'
import { pathToFileURL } from 'node:url'
import { NamedFiles, synchronousHooks, type Hooks, type Task } from './hooks.js'
import './runtime.js'

/**
 * Transforms the named files when they are imported, from now on. They are paths or file URLs, of
 * files or of folders; a folder ends in a slash. Modules that are loaded already stay as they are:
 * call it before the first `import()` of them. It switches source maps on, so that stacks tell the
 * lines of the sources.
 *
 * @throws Error on an engine without the module hooks of Node, such as Bun
 */
export function instrument(files: readonly (string | URL)[]): void {
  install(files, false)
}

/**
 * Takes the types of TypeScript files away when they are imported, from now on, and leaves their
 * accesses as they are. Otherwise it is as {@link instrument}.
 */
export function compileTypes(files: readonly string[]): void {
  install(files, true)
}

function install(files: readonly (string | URL)[], onlyTypes: boolean): void {
  if (process.versions['bun'] !== undefined || typeof module.register !== 'function')
    throw new Error(
      'foreign code is instrumented by the module hooks of Node, which this engine does not have: ' +
        "run it with node, or import { Atomics, Int32Array } from 'percpu-lab/foreign' in the code",
    )
  const urls = files.map((file) => {
    if (file instanceof URL || file.startsWith('file:')) return String(file)
    // The last slash of a path is lost on the way to a URL.
    const { href } = pathToFileURL(file)
    return /[/\\]$/.test(file) && !href.endsWith('/') ? `${href}/` : href
  })
  const task: Task = { urls, onlyTypes }
  process.setSourceMapsEnabled(true)
  const registerHooks = (module as Partial<Synchronous>).registerHooks
  // Node 26 warns of the hooks in a thread of their own (DEP0205). Older ones have no others.
  if (registerHooks === undefined) module.register('./hooks-apart.js', import.meta.url, { data: task })
  else registerHooks(synchronousHooks(new NamedFiles(task)))
}

interface Synchronous {
  registerHooks(hooks: Hooks): unknown
}
