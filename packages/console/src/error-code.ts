/**
 * The literal code of an error of Node or of this package, such as `ENOENT`; undefined if it has
 * none.
 */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
