/**
 * Transforms files as Node loads them, so that a lab can run foreign code that does not know of it.
 */
import { register } from 'node:module'
import { pathToFileURL } from 'node:url'
import './runtime.js'

/**
 * Transforms the named files when they are imported, from now on. They are paths or file URLs, of
 * files or of folders; a folder ends in a slash. Modules that are loaded already stay as they are:
 * call it before the first `import()` of them. It switches source maps on, so that stacks tell the
 * lines of the sources.
 */
export function instrument(files: readonly (string | URL)[]): void {
  const urls = files.map((file) => {
    if (file instanceof URL || file.startsWith('file:')) return String(file)
    // The last slash of a path is lost on the way to a URL.
    const { href } = pathToFileURL(file)
    return /[/\\]$/.test(file) && !href.endsWith('/') ? `${href}/` : href
  })
  process.setSourceMapsEnabled(true)
  register('./hooks.js', import.meta.url, { data: urls })
}
