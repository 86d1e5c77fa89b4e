/**
 * The loader hooks that register.ts installs. They transform the files that the user named, and no
 * others.
 */
import { readFile } from 'node:fs/promises'
import type { InitializeHook, LoadHook } from 'node:module'
import { fileURLToPath } from 'node:url'
import { transform } from './transform.js'

let named: readonly string[] = []

/**
 * Gets file URLs. One that ends in a slash stands for the folder below it, without its
 * node_modules.
 */
export const initialize: InitializeHook<readonly string[]> = (urls) => {
  named = [...named, ...urls]
}

function isNamed(url: string): boolean {
  return named.some((name) =>
    name.endsWith('/')
      ? url.startsWith(name) && !url.slice(name.length).includes('node_modules/')
      : url === name,
  )
}

export const load: LoadHook = async (url, context, nextLoad) => {
  const address = url.replace(/[?#].*$/, '')
  if (!isNamed(address) || !/\.[cm]?[jt]sx?$/.test(address)) return nextLoad(url, context)
  const file = fileURLToPath(address)
  const typescript = /\.[cm]?tsx?$/.test(address)
  // Node does not know the format of every TypeScript file. It need not: the result is JavaScript.
  const known = typescript ? undefined : (await nextLoad(url, context)).format
  const format =
    (known ?? (address.endsWith('.cts') ? 'commonjs' : 'module')) === 'commonjs' ? 'commonjs' : 'module'
  const source = await readFile(file, 'utf8')
  return { format, source: transform(source, { file: address, format }).code, shortCircuit: true }
}
