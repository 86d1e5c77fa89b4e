/** Transforms files as Node loads them, so that a lab can run foreign code that knows nothing of it. */
import { register } from 'node:module'
import { pathToFileURL } from 'node:url'
import './runtime.js'

/**
 * From now on transforms the named files when they are imported: paths, or file URLs, of files or of folders (which end in
 * a slash). Modules that are loaded already stay as they are, so call it before the first `import()` of them. Source maps
 * are switched on, so that stacks tell the lines of the sources.
 */
export function instrument(files: readonly (string | URL)[]): void {
  const urls = files.map((file) => {
    if (file instanceof URL || file.startsWith('file:')) return String(file)
    // A path's last slash is lost on the way to a URL.
    const { href } = pathToFileURL(file)
    return /[/\\]$/.test(file) && !href.endsWith('/') ? `${href}/` : href
  })
  process.setSourceMapsEnabled(true)
  register('./hooks.js', import.meta.url, { data: urls })
}
