// Circles of imports. Types count too: files that need each other's types cannot be read, or moved,
// one by one.

/**
 * Finds circles among files as readImports() lists them. Gives a problem for each group of files
 * that can all reach each other: its shortest circle, told at the import that begins it.
 */
export function importCircles(files) {
  const graph = new Map(
    files.map(({ file, imports }) => [file, imports.filter(({ target }) => target !== undefined)]),
  )
  const problems = []
  const done = new Set()
  for (const file of graph.keys()) {
    if (done.has(file)) continue
    const circle = shortestCircle(graph, file)
    if (circle === undefined) continue
    const group = groupOf(graph, file)
    const shortest = group
      .map((member) => shortestCircle(graph, member))
      .reduce((best, other) => (other.length < best.length ? other : best))
    for (const member of group) done.add(member)
    const [first, second] = shortest
    const { line } = graph.get(first).find(({ target }) => target === second)
    problems.push({ file: first, line, message: `circle of imports: ${shortest.join(' → ')}` })
  }
  return problems
}

/**
 * The files of a shortest circle through `file`, which stands at both of its ends; undefined if
 * there is none.
 */
function shortestCircle(graph, file) {
  const previous = previousOf(graph, file)
  if (!previous.has(file)) return undefined
  const circle = [file]
  let at = file
  do circle.unshift((at = previous.get(at)))
  while (at !== file)
  return circle
}

/**
 * For each file that `start` reaches: the file before it on a shortest way. `start` itself, if it
 * is in a circle.
 */
function previousOf(graph, start) {
  const previous = new Map()
  const queue = [start]
  for (const file of queue) {
    for (const { target } of graph.get(file) ?? []) {
      if (previous.has(target) || !graph.has(target)) continue
      previous.set(target, file)
      if (target !== start) queue.push(target)
    }
  }
  return previous
}

/** The files that `file` reaches and that reach it. */
function groupOf(graph, file) {
  return [...previousOf(graph, file).keys()].filter((other) => previousOf(graph, other).has(file)).sort()
}
