// ESLint rule: no line of a comment is wider than 100 columns. Prettier wraps code, but no
// comments.
//
// A line that cannot be broken, such as a long URL, may be wider, and so may a directive of a tool.
// Code beside a comment counts.

const WIDTH = 100
const directive = /^\s*(?:eslint|prettier|@ts)-/

export const commentWidth = {
  meta: {
    type: 'layout',
    schema: [],
    messages: { wide: 'a comment goes beyond column {{ limit }}, to column {{ width }}: wrap it' },
  },
  create(context) {
    const { sourceCode } = context
    return {
      Program() {
        for (const comment of sourceCode.getAllComments()) {
          if (directive.test(comment.value)) continue
          const { start, end } = comment.loc
          for (let line = start.line; line <= end.line; line++) {
            const text = sourceCode.lines[line - 1]
            const from = line === start.line ? start.column : 0
            const to = line === end.line ? end.column : text.length
            const width = [...text.slice(0, to)].length
            if (width <= WIDTH || !isBreakable(text.slice(from, to))) continue
            const loc = { start: { line, column: from }, end: { line, column: to } }
            context.report({ loc, messageId: 'wide', data: { limit: WIDTH, width } })
          }
        }
      },
    }
  },
}

/** Whether there is a space between words, besides the ones around the comment's own signs. */
function isBreakable(part) {
  return /\S\s+\S/.test(part.replace(/^\s*(?:\/\/|\/\*+|\*(?!\/))\s*/, '').replace(/\s*\*\/$/, ''))
}
