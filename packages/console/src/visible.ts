/**
 * Text of users, such as a name, as a terminal may have it: what would not be seen, break the line,
 * or move the cursor is written as in JSON.
 */
export function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) =>
    Array.from({ length: character.length }, (_, at) => escaped(character.charCodeAt(at))).join(''),
  )
}
function escaped(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`
}
