/**
 * Text of known width for terminals. It is measured, cut and wrapped by columns, and coloured only
 * at the end.
 */
import stringWidth from 'string-width'
import { styleText } from 'node:util'

export type Style = Parameters<typeof styleText>[0]

/** A line made of pieces, each with its style. */
export class Line {
  readonly #pieces: { readonly text: string; readonly style: Style | undefined }[] = []
  #width = 0

  get width(): number {
    return this.#width
  }

  add(text: string, style?: Style): this {
    if (text.length > 0) this.#pieces.push({ text, style })
    this.#width += textWidth(text)
    return this
  }

  /** Pads with spaces up to a column. Does nothing if the line is there already. */
  to(column: number): this {
    return this.add(' '.repeat(Math.max(0, column - this.#width)))
  }

  /** The text, without blanks at its end. */
  render(color: boolean): string {
    const plain = this.#pieces.map(({ text }) => text).join('')
    const trimmed = plain.trimEnd()
    if (!color) return trimmed
    let left = trimmed.length
    let out = ''
    for (const { text, style } of this.#pieces) {
      const part = text.slice(0, Math.max(0, left))
      left -= text.length
      // The caller has asked for colour: neither the environment nor the kind of stdout matters.
      out += style === undefined || part === '' ? part : styleText(style, part, { validateStream: false })
    }
    return out
  }
}

const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' })
const graphemes = (text: string) => Array.from(segmenter.segment(text), ({ segment }) => segment)

/** Terminal columns of a text without control characters. */
export function textWidth(text: string): number {
  return /^[\x20-\x7e]*$/.test(text) ? text.length : stringWidth(text)
}

/** The text, or its beginning and `…`, in at most `width` columns. */
export function cut(text: string, width: number): string {
  if (textWidth(text) <= width) return text
  if (width < 1) return ''
  let out = ''
  let used = 0
  for (const grapheme of graphemes(text)) {
    used += textWidth(grapheme)
    if (used > width - 1) break
    out += grapheme
  }
  return `${out}…`
}

/** The text, or its end after `…`, in at most `width` columns. */
export function cutStart(text: string, width: number): string {
  if (textWidth(text) <= width) return text
  if (width < 1) return ''
  let out = ''
  let used = 0
  for (const grapheme of graphemes(text).reverse()) {
    used += textWidth(grapheme)
    if (used > width - 1) break
    out = grapheme + out
  }
  return `…${out}`
}

/** Breaks at spaces, and inside words that are longer than a line. */
export function wrap(text: string, width: number): string[] {
  const room = Math.max(1, width)
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    const joined = line === '' ? word : `${line} ${word}`
    if (textWidth(joined) <= room) {
      line = joined
      continue
    }
    if (line !== '') lines.push(line)
    const parts = pieces(word, room)
    lines.push(...parts.slice(0, -1))
    line = parts.at(-1) ?? ''
  }
  if (line !== '' || lines.length === 0) lines.push(line)
  return lines
}

/**
 * Cuts a text into pieces of at most `width` columns, without a loss. A wider character has a piece
 * to itself.
 */
export function pieces(text: string, width: number): string[] {
  const out: string[] = []
  let piece = ''
  for (const grapheme of graphemes(text)) {
    if (piece !== '' && textWidth(piece + grapheme) > width) {
      out.push(piece)
      piece = ''
    }
    piece += grapheme
  }
  out.push(piece)
  return out
}
