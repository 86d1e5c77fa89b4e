/** The hooks of `module.register`, which run in a thread of their own. */
import type { InitializeHook, LoadHook, ResolveHook } from 'node:module'
import { isTypeScript } from './file-names.js'
import { NamedFiles, type Task } from './hooks.js'

/** One for each call of `register`: they share this module. */
const all: NamedFiles[] = []

export const initialize: InitializeHook<Task> = (task) => {
  all.push(new NamedFiles(task))
}

export const resolve: ResolveHook = (specifier, context, nextResolve) => {
  const found = all.map((files) => files.typescriptFor(specifier, context.parentURL))
  return nextResolve(found.find((url) => url !== undefined) ?? specifier, context)
}

export const load: LoadHook = async (url, context, nextLoad) => {
  const files = all.find((candidate) => candidate.has(url))
  if (files === undefined) return nextLoad(url, context)
  const format = isTypeScript(url) ? undefined : (await nextLoad(url, context)).format
  return files.transformed(url, format)
}
