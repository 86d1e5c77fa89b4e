// The grammar of comments on atomic accesses; check-ordering.mjs explains it.

import ts from 'typescript'
import { commentBlocks } from './comments.mjs'

const letterStart = /^[A-Z]{1,2}\(/
const tagStart = /^atomic:/
const letterComment =
  /^(?<letter>[A-Z]{1,2})\((?<word>[\w$#]+(?:\.[\w$#]+)*)\)(?: (?<what>.+?);)? pairs with (?<pairs>[^:]+): (?<permission>.+?)\.? Mutants?: (?<mutants>\S.*?)\.?$/
const partner = /^(?:(?<layer>[a-z][\w-]*)\/)?(?<letter>[A-Z]{1,2}) in (?<where>[\w$#.-]+)$/
const mutantName = /^[a-z][\w-]*\/[a-z0-9][\w-]*$/

/**
 * Reads the comments of one file. `letters` are the ordering comments, `tags` the `atomic:`
 * comments, `mutants` every mutant named in any comment, `problems` what does not follow the
 * grammar. Lines count from 0.
 */
export function orderingComments(source) {
  const result = { letters: [], tags: [], mutants: [], problems: [] }
  for (const block of commentBlocks(source)) {
    for (const note of notesOf(block)) {
      if (letterStart.test(note.text)) addLetter(result, note)
      else if (tagStart.test(note.text)) addTag(result, note)
    }
    for (const name of mutantsIn(block.lines.join(' '))) result.mutants.push({ name, line: block.firstLine })
  }
  return result
}

/** Splits a block at the lines where a new note starts. A blank line ends a note. */
function notesOf(block) {
  const notes = []
  let current
  block.lines.forEach((line, i) => {
    if (letterStart.test(line) || tagStart.test(line) || current === undefined) {
      current = {
        text: line,
        firstLine: block.firstLine + i,
        position: block.position,
        lastLine: block.firstLine + i,
      }
      notes.push(current)
    } else if (line === '') current = undefined
    else {
      current.text += ` ${line}`
      current.lastLine = block.firstLine + i
    }
  })
  // Notes that share a block stand above the same code, so each reaches as far as the block does.
  for (const note of notes) note.lastLine = Math.max(note.lastLine, block.lastLine)
  return notes
}

function addLetter(result, note) {
  const match = letterComment.exec(note.text)
  const pairs = match?.groups.pairs.split(/, (?:and )?|; /).map((text) => partner.exec(text)?.groups)
  const mutants = match?.groups.mutants.split(', ')
  if (!match || pairs.includes(undefined) || !mutants.every((name) => mutantName.test(name))) {
    const message =
      'not an ordering comment; write "A(module.word) what it does; pairs with B in where: permission that moves. Mutant: layer/name."'
    result.problems.push({ line: note.firstLine, message })
  } else
    result.letters.push({ ...note, letter: match.groups.letter, word: match.groups.word, pairs, mutants })
}

function addTag(result, note) {
  if (note.text.replace(tagStart, '').trim() !== '') result.tags.push(note)
  else
    result.problems.push({
      line: note.firstLine,
      message: '"atomic:" must say why the access orders nothing',
    })
}

function mutantsIn(text) {
  return [...text.matchAll(/\bMutants?: ([\w-]+\/[\w-]+(?:, [\w-]+\/[\w-]+)*)/g)].flatMap((match) =>
    match[1].split(', '),
  )
}

/**
 * The names of what encloses a comment, innermost first: functions, methods, variables that hold
 * functions, classes, and the file without its extension. A comment above a function belongs to
 * that function.
 */
export function enclosingNames(source, position, file) {
  const names = []
  const visit = (node) => {
    if (node.getFullStart() > position || node.end <= position) return
    const name = ts.isConstructorDeclaration(node) ? 'constructor' : ownName(node)
    if (name !== undefined) names.unshift(name)
    ts.forEachChild(node, visit)
  }
  ts.forEachChild(source, visit)
  const fileName = file.split('/').at(-1)
  return [...names, fileName, fileName.replace(/\.ts$/, '')]
}

function ownName(node) {
  if (ts.isVariableStatement(node)) return node.declarationList.declarations[0]?.name.getText()
  const named = ts.isFunctionLike(node) || ts.isClassLike(node) || ts.isPropertyDeclaration(node)
  return named && node.name !== undefined ? node.name.getText() : undefined
}
