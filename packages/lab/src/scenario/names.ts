/** Names and kinds of words, from the layouts that lie over them. */
import type { AnyStruct, FieldInfo, Memory } from 'percpu'
import { RACY, shadowOf, type Shadow } from '../engine/views.js'

export type WordKind = 'atomic' | 'owner' | 'locked' | 'published' | 'racy'

interface Region {
  readonly shadow: Shadow
  readonly address: number
  readonly type: AnyStruct
  readonly name: string
}

export class Names {
  private readonly regions: Region[] = []
  private readonly single = new Map<Shadow, Map<number, string>>()

  /**
   * Says that an object of `type` lies at byte `address`. Its words are called `name.field`, or
   * `field` if the name is empty.
   */
  add(memory: Memory, address: number, type: AnyStruct, name: string): void {
    const region = { shadow: shadowOf(memory.buffer), address, type, name }
    this.regions.push(region)
    for (let offset = 0; offset < type.size; offset += 4)
      if (fieldAt(type, offset)?.kind === 'racy') region.shadow.kinds[(address + offset) >>> 2] = RACY
  }

  /** Gives a name to what begins at byte `address`, for words without a layout. */
  addWord(buffer: SharedArrayBuffer, address: number, name: string): void {
    const shadow = shadowOf(buffer)
    let known = this.single.get(shadow)
    if (known === undefined) this.single.set(shadow, (known = new Map<number, string>()))
    known.set(address, name)
  }

  /** The name and the kind of the word at byte `address`, as far as known. */
  describe(shadow: Shadow, address: number): { name: string; kind: WordKind | undefined } {
    for (const region of this.regions) {
      const offset = address - region.address
      if (region.shadow !== shadow || offset < 0 || offset >= region.type.size) continue
      const field = region.type.nameAt(offset) ?? `+${offset}`
      const name = region.name === '' ? field : `${region.name}.${field}`
      return { name, kind: fieldAt(region.type, offset)?.kind }
    }
    return { name: this.singleName(shadow, address) ?? `0x${address.toString(16)}`, kind: undefined }
  }

  /** Another byte of a word that has a name is `name+1`, as far as it has no name itself. */
  private singleName(shadow: Shadow, address: number): string | undefined {
    const known = this.single.get(shadow)
    const exact = known?.get(address)
    const word = address - (address % 4)
    const ofWord = known?.get(word)
    return exact ?? (ofWord === undefined ? undefined : `${ofWord}+${address - word}`)
  }
}

/** The row of the struct's table that the word at `offset` belongs to. */
function fieldAt(type: AnyStruct, offset: number): FieldInfo | undefined {
  const path = type.nameAt(offset)
  if (path === undefined) return undefined
  // pair[2].x is listed as pair[].x, and name[3] as name.
  const listed = path.replace(/\[\d+\]/g, '[]')
  return type.fields.find((field) => field.path === listed || `${field.path}[]` === listed)
}
