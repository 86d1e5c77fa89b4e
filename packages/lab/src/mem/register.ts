/**
 * Puts the lab's `#mem` in the place of percpu's, in every module that is loaded from now on. To be
 * loaded by `node --import percpu-lab/register`, or by an import of `percpu` from percpu-lab.
 */
import { register } from 'node:module'

const state = globalThis as { percpuLabRegistered?: boolean }
if (state.percpuLabRegistered !== true) {
  state.percpuLabRegistered = true
  const real = import.meta.resolve('percpu/mem')
  const lab = new URL('./mem.js', import.meta.url).href
  const hooks = `export const resolve = async (specifier, context, next) => {
    const resolved = await next(specifier, context)
    return resolved.url === ${JSON.stringify(real)} ? { ...resolved, url: ${JSON.stringify(lab)} } : resolved
  }`
  register('data:text/javascript,' + encodeURIComponent(hooks))
}
