/** Ends single accessors, while others of their struct go on. */

/**
 * From now on every use of `accessor` throws what `makeError` returns; nested accessors, views and
 * cells that it gave before go on. Cost: accessors of this struct and memory get a check of their
 * shape, a load and a compare, as the compiler can no longer rely on their having one shape only.
 */
export function revokeAccessor(accessor: object, makeError: () => Error): void {
  const base = 'baseWord' in accessor ? 'baseWord' : 'baseByte'
  Object.defineProperty(accessor, base, {
    get(): never {
      throw makeError()
    },
  })
}
