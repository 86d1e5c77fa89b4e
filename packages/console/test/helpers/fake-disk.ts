/**
 * A folder in memory for the tests of the store. It knows what was synced and what was not, can
 * fail any operation, and shows what may be left after the power went off.
 */
import { DiskError, type Operation, type StoreFile, type StoreFolder } from '../../dist/store/folder.js'

interface Content {
  written: Buffer
  synced: Buffer
}

/** What becomes of what was not synced. */
export type Loss =
  /** Only the process ended: nothing. */
  | 'none'
  /** All of it. */
  | 'all'
  /** Contents stay, new names do not. */
  | 'names'
  /** Names stay, new contents do not. */
  | 'contents'
  /** Files are as long as they were, and what was not synced is zeros. */
  | 'zeros'
  /** The same from the middle of what was not synced. */
  | 'half zeros'
  /** Half of what was not synced is there. */
  | 'half'
export const LOSSES: readonly Loss[] = ['none', 'all', 'names', 'contents', 'zeros', 'half zeros', 'half']

export class FakeDisk implements StoreFolder {
  readonly path = 'fake'
  /** All operations that were begun, such as `write log-0000000000000001`. */
  readonly operations: string[] = []
  /** Whether this operation fails; of what is to be written, half is. */
  failure: (operation: Operation, name: string) => Error | undefined = () => undefined
  /** Files that were opened, and not closed. */
  openFiles = 0
  /** Bytes that all files may have. */
  capacity = Infinity
  #names = new Map<string, Content>()
  #syncedNames = new Map<string, Content>()

  /** The bytes of all files. */
  get files(): ReadonlyMap<string, Buffer> {
    return new Map([...this.#names].map(([name, { written }]) => [name, written]))
  }

  /** The same for two disks that hold the same, and have synced the same. */
  get state(): string {
    const textOf = ([name, { written, synced }]: [string, Content]) =>
      [name, written.toString('latin1'), synced.toString('latin1')].join('\n')
    return JSON.stringify([[...this.#names].map(textOf).sort(), [...this.#syncedNames].map(textOf).sort()])
  }

  /** Puts a file there, synced. */
  put(name: string, bytes: Uint8Array): void {
    const content = { written: Buffer.from(bytes), synced: Buffer.from(bytes) }
    this.#names.set(name, content)
    this.#syncedNames.set(name, content)
  }

  take(name: string): void {
    this.#names.delete(name)
    this.#syncedNames.delete(name)
  }

  /** A copy, as it is after a restart. */
  after(loss: Loss): FakeDisk {
    const copy = new FakeDisk()
    const contents = new Map<Content, Content>()
    const left = (content: Content): Content => {
      const known = contents.get(content) ?? leftOf(content, loss)
      contents.set(content, known)
      return known
    }
    const names = loss === 'all' || loss === 'names' ? this.#syncedNames : this.#names
    copy.#names = new Map([...names].map(([name, content]) => [name, left(content)]))
    const synced = loss === 'none' ? this.#syncedNames : names
    copy.#syncedNames = new Map([...synced].map(([name, content]) => [name, left(content)]))
    return copy
  }

  list(): Promise<readonly string[]> {
    return this.#do('list', '', () => [...this.#names.keys()])
  }
  open(name: string): Promise<StoreFile> {
    return this.#do('open', name, () => this.#file(this.#contentOf(name)))
  }
  create(name: string): Promise<StoreFile> {
    return this.#do('create', name, () => {
      const content = this.#names.get(name) ?? { written: Buffer.alloc(0), synced: Buffer.alloc(0) }
      content.written = Buffer.alloc(0)
      this.#names.set(name, content)
      return this.#file(content)
    })
  }
  rename(from: string, to: string): Promise<void> {
    return this.#do('rename', from, () => {
      this.#names.set(to, this.#contentOf(from))
      this.#names.delete(from)
    })
  }
  remove(name: string): Promise<void> {
    return this.#do('remove', name, () => void this.#names.delete(name))
  }
  sync(): Promise<void> {
    return this.#do('sync', '', () => void (this.#syncedNames = new Map(this.#names)))
  }

  #contentOf(name: string): Content {
    const content = this.#names.get(name)
    if (!content) throw Object.assign(new Error(`no ${name}`), { code: 'ENOENT' })
    return content
  }

  /** The name that it has now. */
  #nameOf(content: Content): string {
    return [...this.#names].find(([, each]) => each === content)?.[0] ?? 'removed'
  }

  #file(content: Content): StoreFile {
    this.openFiles++
    const perform = <Value>(operation: Operation, work: () => Value) =>
      this.#do(operation, this.#nameOf(content), work)
    return {
      size: () => Promise.resolve(content.written.length),
      read: (position, length) =>
        perform('read', () => {
          if (position + length > content.written.length) throw new Error('the file is shorter')
          return Buffer.from(content.written.subarray(position, position + length))
        }),
      write: (bytes, position) => this.#write(content, bytes, position),
      truncate: (length) =>
        perform('truncate', () => void (content.written = content.written.subarray(0, length))),
      sync: () => perform('sync', () => void (content.synced = content.written)),
      close: () => {
        this.openFiles--
        return perform('close', () => undefined)
      },
    }
  }

  #write(content: Content, bytes: Uint8Array, position: number): Promise<void> {
    const put = (count: number) => {
      const written = Buffer.alloc(Math.max(content.written.length, position + count))
      written.set(content.written)
      written.set(bytes.subarray(0, count), position)
      content.written = written
    }
    const used = [...this.#names.values()].reduce((sum, { written }) => sum + written.length, 0)
    const room = this.capacity - used + content.written.length - position
    return this.#do(
      'write',
      this.#nameOf(content),
      () => {
        put(Math.min(room, bytes.length))
        if (room < bytes.length) throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
      },
      () => put(Math.floor(bytes.length / 2)),
    )
  }

  /** @param broken what a failed operation has done */
  async #do<Value>(
    operation: Operation,
    name: string,
    work: () => Value,
    broken: () => void = () => undefined,
  ): Promise<Value> {
    this.operations.push(`${operation} ${name}`)
    // Real ones end in a later turn of the event loop, in their order.
    await Promise.resolve()
    try {
      const error = this.failure(operation, name)
      if (error) {
        broken()
        throw error
      }
      return work()
    } catch (error) {
      throw new DiskError(operation, name, error)
    }
  }
}

function leftOf({ written, synced }: Content, loss: Loss): Content {
  const start = Math.min(written.length, synced.length)
  const middle = Math.ceil((start + written.length) / 2)
  const zeros = (from: number) =>
    Buffer.concat([written.subarray(0, from), Buffer.alloc(written.length - from)])
  switch (loss) {
    case 'none':
      return { written, synced }
    case 'names':
      return { written, synced: written }
    case 'all':
    case 'contents':
      return { written: synced, synced }
    case 'zeros':
      return { written: zeros(start), synced: zeros(start) }
    case 'half zeros':
      return { written: zeros(middle), synced: zeros(middle) }
    case 'half':
      return { written: written.subarray(0, middle), synced: written.subarray(0, middle) }
  }
}
