/** What an entry of a map has to do, key by key. */
export class Entry {
  value: number | undefined = undefined
  set(...[, value]: [key: number, value: number]): void {
    this.value = value
  }
  get(): number | undefined {
    return this.value
  }
  delete(): boolean {
    const had = this.value !== undefined
    this.value = undefined
    return had
  }
  take(): number | undefined {
    const { value } = this
    this.value = undefined
    return value
  }
}
/** One that is there before. */
export class Present extends Entry {
  override value: number | undefined = 1
}
export const byKey = {
  key: ({ args }: { readonly args: readonly unknown[] }) => args[0] as number,
  queries: ['get'],
} as const
