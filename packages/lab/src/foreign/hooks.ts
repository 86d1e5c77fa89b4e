/**
 * The loader hooks that register.ts installs. They transform the files that the user named, and no
 * others. A TypeScript file among them may import its neighbour by the name of the compiled file:
 * `./ring.js` for ring.ts.
 */
import { existsSync, readFileSync } from 'node:fs'
import type { LoadFnOutput, ResolveFnOutput } from 'node:module'
import { fileURLToPath } from 'node:url'
import { addressOf, isTypeScript } from './file-names.js'
import { compile, transform } from './transform.js'

/** The files that a user named, and what is done with them. */
export interface Task {
  /**
   * File URLs. One that ends in a slash stands for the folder below it, without its node_modules.
   */
  readonly urls: readonly string[]
  /** Whether only their types are taken away. */
  readonly onlyTypes: boolean
}

export class NamedFiles {
  private readonly named: readonly string[]
  private readonly onlyTypes: boolean

  constructor({ urls, onlyTypes }: Task) {
    this.named = urls
    this.onlyTypes = onlyTypes
  }

  /** Whether {@link transformed} is for the file. */
  has(url: string): boolean {
    const address = addressOf(url)
    if (!/\.[cm]?[jt]sx?$/.test(address)) return false
    return this.named.some((name) =>
      name.endsWith('/')
        ? address.startsWith(name) && !address.slice(name.length).includes('node_modules/')
        : address === name,
    )
  }

  /** The TypeScript file that `specifier` means in a named file; undefined if it is none. */
  typescriptFor(specifier: string, parent: string | undefined): string | undefined {
    if (parent === undefined || !/^\.\.?\/.*\.[cm]?jsx?$/.test(specifier)) return undefined
    if (!isTypeScript(parent) || !this.has(parent)) return undefined
    const compiled = new URL(specifier, parent).href
    const source = compiled.replace(/js(x?)$/, 'ts$1')
    return existsSync(fileURLToPath(compiled)) || !existsSync(fileURLToPath(source)) ? undefined : source
  }

  /** The transformed source. `format` is what Node says of a JavaScript file. */
  transformed(url: string, format: string | null | undefined): LoadFnOutput {
    const address = addressOf(url)
    const file = fileURLToPath(address)
    // Node does not know the format of every TypeScript file. It need not: what comes out is
    // JavaScript.
    const known = isTypeScript(url) ? (address.endsWith('.cts') ? 'commonjs' : 'module') : format
    const kind = known === 'commonjs' ? 'commonjs' : 'module'
    const text = readFileSync(file, 'utf8')
    const { code } = this.onlyTypes
      ? compile(text, address)
      : transform(text, { file: address, format: kind })
    return { format: kind, source: code, shortCircuit: true }
  }
}

/** The hooks that Node 22.15 and later run in the thread that imports. */
export interface Hooks {
  readonly resolve: (
    specifier: string,
    context: { parentURL?: string | undefined },
    next: NextResolve,
  ) => ResolveFnOutput
  readonly load: (url: string, context: object, next: NextLoad) => LoadFnOutput
}
type NextResolve = (specifier: string, context: object) => ResolveFnOutput
type NextLoad = (url: string, context: object) => LoadFnOutput

export function synchronousHooks(files: NamedFiles): Hooks {
  return {
    resolve: (specifier, context, next) =>
      next(files.typescriptFor(specifier, context.parentURL) ?? specifier, context),
    load(url, context, next) {
      if (!files.has(url)) return next(url, context)
      return files.transformed(url, isTypeScript(url) ? undefined : next(url, context).format)
    },
  }
}
