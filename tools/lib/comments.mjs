// Comments of a TypeScript source file, as blocks: what a reader sees as one comment.

import ts from 'typescript'

/**
 * Lists the comment blocks of a file in order. Line comments on successive lines, each alone on its
 * line, form one block. Each block has `lines` (the text without comment marks), `firstLine` and
 * `lastLine` (from 0), and `position`.
 */
export function commentBlocks(source) {
  const blocks = []
  for (const range of commentRanges(source)) {
    const block = toBlock(source, range)
    const previous = blocks.at(-1)
    if (previous !== undefined && continues(previous, block)) {
      previous.lines.push(...block.lines)
      previous.lastLine = block.lastLine
    } else blocks.push(block)
  }
  return blocks
}

function commentRanges(source) {
  const ranges = new Map()
  const visit = (node) => {
    const leading = ts.getLeadingCommentRanges(source.text, node.pos) ?? []
    const trailing = ts.getTrailingCommentRanges(source.text, node.end) ?? []
    for (const range of [...leading, ...trailing]) ranges.set(range.pos, range)
    for (const child of node.getChildren(source)) if (!ts.isJSDoc(child)) visit(child)
  }
  visit(source)
  return [...ranges.values()].sort((a, b) => a.pos - b.pos)
}

function toBlock(source, { pos, end, kind }) {
  const text = source.text.slice(pos, end)
  const isLine = kind === ts.SyntaxKind.SingleLineCommentTrivia
  const body = isLine ? text.slice(2) : text.slice(2, -2)
  const firstLine = source.getLineAndCharacterOfPosition(pos).line
  return {
    lines: body.split('\n').map((line) => line.replace(isLine ? /^\s+/ : /^\s*\*{0,2}\s?/, '').trimEnd()),
    firstLine,
    lastLine: source.getLineAndCharacterOfPosition(end).line,
    position: pos,
    standsAlone:
      isLine && source.text.slice(source.getPositionOfLineAndCharacter(firstLine, 0), pos).trim() === '',
  }
}

function continues(previous, block) {
  return previous.standsAlone && block.standsAlone && block.firstLine === previous.lastLine + 1
}
