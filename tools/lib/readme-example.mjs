// Finds the example that a README promises to work as pasted.

/**
 * Lists the fenced code blocks of a Markdown text: `language`, `text` without the fences, and
 * `line` of the opening fence, from 1. An unclosed block ends with the text.
 */
export function fencedBlocks(markdown) {
  const blocks = []
  let open
  markdown.split(/\r?\n/).forEach((line, i) => {
    const fence = /^( {0,3})(`{3,}|~{3,})\s*([^\s`]*)[^`]*$/.exec(line)
    if (open === undefined && fence) {
      open = { mark: fence[2], indent: fence[1].length, language: fence[3], lines: [], line: i + 1 }
      blocks.push(open)
    } else if (open !== undefined && closes(open.mark, line)) open = undefined
    else if (open !== undefined) open.lines.push(line.replace(new RegExp(`^ {0,${open.indent}}`), ''))
  })
  return blocks.map(({ language, lines, line }) => ({
    language,
    text: lines.map((text) => `${text}\n`).join(''),
    line,
  }))
}

function closes(mark, line) {
  const trimmed = line.trim()
  return (
    /^ {0,3}\S/.test(line) &&
    trimmed.length >= mark.length &&
    [...trimmed].every((character) => character === mark[0])
  )
}

const fileNameLine = /^\/\/ ([\w-]+(?:\/[\w-]+)*\.m?js)\s*$/

/**
 * The example: the `js` blocks whose first line names their file (`// main.js`), up to the first
 * `text` block after the one of main.js, which is the output. Throws if there is no main.js, no
 * output, or a file twice.
 */
export function readmeExample(markdown) {
  const files = new Map()
  for (const { language, text, line } of fencedBlocks(markdown)) {
    const name = fileNameLine.exec(text.split('\n', 1)[0])?.[1]
    if (['js', 'javascript', 'mjs'].includes(language) && name !== undefined) {
      if (files.has(name))
        throw new Error(`line ${line}: ${name} is there twice before the block of its output`)
      files.set(name, text)
    } else if (language === 'text' && files.has('main.js'))
      return { files: Object.fromEntries(files), output: text }
  }
  if (!files.has('main.js')) throw new Error('no js block starts with the line "// main.js"')
  throw new Error('no text block with the output follows main.js')
}

/** Output as it is compared: without white space at line ends and around the whole. */
export function normalizeOutput(text) {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .trim()
}
