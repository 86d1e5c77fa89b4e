/**
 * Following addresses: `node.follow.next` is the accessor of the object that the field `next` leads
 * to, or undefined for none. In a section it is an accessor of that section. From a draft it is an
 * ordinary one, as others may see that object.
 *
 * `follow` makes an object at each use, which optimised code does not allocate.
 */
import type { Memory } from '#mem'
import { loadAddress, AtomicAddress } from './addresses.js'
import { ViewArray } from './array-views.js'
import type { Flavour, Holder } from './flavours.js'
import { locator } from './locate.js'
import type { WordBased } from './scalar-properties.js'
import type { AddressType, Kind, Member, StructType, Type } from './types.js'
import { leafOf, strideOf } from './types.js'

/** How the accessors of what addresses lead to are made: their classes, and their holder. */
export interface Targets {
  readonly classOf: (struct: StructType) => new (holder: Holder, base: number) => object
  readonly holderOf: (holder: Holder) => Holder
}
type TypedAddress = AddressType<StructType | 'self'>
type Follower = (holder: Holder, index: number) => object | undefined

/** The class of the values of `follow`; undefined when there is no address to follow. */
export function followClass(
  struct: StructType,
  flavour: Flavour,
  targets: Targets,
): (new (holder: Holder, word: number) => object) | undefined {
  const members = struct.members.filter(isFollowed)
  if (members.length === 0) return undefined
  const made = class implements WordBased {
    declare readonly holder: Holder
    declare readonly baseWord: number
    constructor(holder: Holder, word: number) {
      this.holder = holder
      this.baseWord = word
    }
  }
  for (const { name, type, kind, offset } of members) {
    const follow = followerOf(type, kind, struct, flavour, targets)
    const at = offset / 4
    Object.defineProperty(made.prototype, name, {
      enumerable: true,
      get(this: WordBased) {
        return follow(this.holder, this.baseWord + at)
      },
    })
  }
  return made
}

function isFollowed(member: Member): member is Member & { readonly type: Type } {
  // An array of run-time length is not followed.
  const leaf = member.type === undefined ? undefined : leafOf(member.type)
  return leaf?.form === 'address' && leaf.target !== undefined
}

/** Follows an address, or an array of them, whose word has this index. */
function followerOf(
  type: Type,
  kind: Kind | undefined,
  struct: StructType,
  flavour: Flavour,
  targets: Targets,
): Follower {
  if (type.form !== 'array') return addressFollower(type as TypedAddress, kind, struct, flavour, targets)
  const { element, length } = type
  const follow = followerOf(element, kind, struct, flavour, targets)
  const stride = strideOf(element)
  const make = (holder: Holder, address: number): object | undefined => follow(holder, address / 4)
  return (holder, index) => new ViewArray(holder, index * 4, length, stride, make)
}

function addressFollower(
  { target }: TypedAddress,
  kind: Kind | undefined,
  struct: StructType,
  { memoryOf }: Flavour,
  { classOf, holderOf }: Targets,
): Follower {
  const type = target === 'self' ? struct : target
  const Class = classOf(type)
  const locate = locator(type)
  const load = kind === 'atomic' ? loadAtomic : loadPlain
  return (holder, index) => {
    const memory = memoryOf({ holder })
    const address = load(memory, index)
    return address === 0 ? undefined : new Class(holderOf(holder), locate(memory, address))
  }
}

function loadPlain({ i32 }: Memory, index: number): number {
  return loadAddress(i32, index)
}
function loadAtomic(memory: Memory, index: number): number {
  // atomic: as the user of the field orders it.
  return new AtomicAddress(memory, index).load()
}
