// How many mutants were killed, by folder.

/**
 * Counts `rows` by folder, in the order of the names. Gives `{ folder, killed, total, notCovered,
 * percent }` for each.
 */
export function scoreByFolder(rows) {
  const folders = [...new Set(rows.map(({ folder }) => folder))].sort()
  return folders.map((folder) =>
    scoreOf(
      folder,
      rows.filter((row) => row.folder === folder),
    ),
  )
}

/** The same of all rows together. */
export function scoreOf(folder, rows) {
  const killed = rows.filter((row) => row.killed).length
  const notCovered = rows.filter((row) => !row.isCovered).length
  return { folder, killed, total: rows.length, notCovered, percent: (100 * killed) / rows.length }
}

/** The table, a line for each folder and one for all. */
export function formatScores(rows) {
  const lines = [...scoreByFolder(rows), scoreOf('all', rows)].map(
    ({ folder, killed, total, notCovered, percent }) => [
      folder,
      `${killed}/${total}`,
      `${percent.toFixed(1)} %`,
      notCovered === 0 ? '' : `${notCovered} not covered`,
    ],
  )
  const widths = [0, 1, 2].map((at) => Math.max(...lines.map((line) => line[at].length)))
  return lines
    .map(([folder, count, percent, rest]) =>
      `${folder.padEnd(widths[0])}  ${count.padStart(widths[1])}  ${percent.padStart(widths[2])}  ${rest}`.trimEnd(),
    )
    .join('\n')
}
