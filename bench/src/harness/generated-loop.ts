/** Loops made from text, for tables of many small operations. */
import type { Loop } from './per-operation.js'

let loops = 0

/**
 * Compiles `for (let i = 0; i < count; i++) { <statement> }` as a module of its own. The statement
 * sees `i`, `sum` (a number to add results to), the names of `scope`, and what it imports from
 * `modules` (name to URL of an ES module).
 *
 * Each loop has its own code and type feedback, as a user's loop does; loops made by one closure
 * would share theirs.
 */
export async function generateLoop(
  statement: string,
  scope: Readonly<Record<string, unknown>>,
  modules: Readonly<Record<string, string>> = {},
): Promise<Loop> {
  const imports = Object.entries(modules).map(
    ([name, url]) => `import { ${name} } from ${JSON.stringify(url)}`,
  )
  // The engine has one module for one source, so the sources of two equal loops must differ.
  const source = `// ${loops++}
${imports.join('\n')}
export function makeLoop(scope) {
  const { ${Object.keys(scope).join(', ')} } = scope
  return (count) => {
    let sum = 0
    for (let i = 0; i < count; i++) { ${statement} }
    return sum
  }
}`
  const module = (await import(`data:text/javascript,${encodeURIComponent(source)}`)) as {
    makeLoop: (scope: object) => Loop
  }
  return module.makeLoop(scope)
}
