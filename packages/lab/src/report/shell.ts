/** Commands that can be pasted into a shell from several lines. */
import { pieces, textWidth } from './text.js'

/** Quoted parts, escaped characters, and the rest of a word. */
const PARTS = /'[^']*'|\\.|[^\s'\\]+/g
const WORDS = /(?:'[^']*'|\\.|[^\s'\\])+/g

/**
 * Cuts a command into lines of at most `width` columns, which a shell reads as one. It is cut
 * between words where it can be. In a word the next line begins at once: space would cut the word.
 */
export function commandLines(command: string, width: number): string[] {
  const room = width - 4
  const lines: string[] = []
  let line = ''
  for (const word of command.match(WORDS) ?? []) {
    const joined = line === '' ? `  ${word}` : `${line} ${word}`
    if (textWidth(joined) <= room + 2) {
      line = joined
      continue
    }
    if (line !== '') lines.push(`${line} \\`)
    const cut = textWidth(word) <= room ? [word] : cutWord(word, room)
    lines.push(...cut.slice(0, -1).map((part, i) => `${i === 0 ? '  ' : ''}${part}\\`))
    line = `${cut.length === 1 ? '  ' : ''}${cut.at(-1) ?? ''}`
  }
  return line === '' ? lines : [...lines, line]
}

function cutWord(word: string, width: number): string[] {
  return (word.match(PARTS) ?? []).flatMap((part) =>
    part.startsWith("'")
      ? pieces(part.slice(1, -1), width - 2).map((piece) => `'${piece}'`)
      : part.startsWith('\\')
        ? [part]
        : pieces(part, width),
  )
}
