/**
 * What domains are called. Those of collections are named by the addresses of these, which no other
 * collection has meanwhile; messages name them as users name the collection.
 */
import type { Memory } from '#mem'
import type { Names } from '../bootmem/names.js'
import { nounOf } from '../names/nouns.js'

type Owner = 'map' | 'rangeMap'
const form = /^percpu\.(map|rangeMap)@(\d+)$/

/** Of a domain in a struct of the user's. */
export function nameAt(address: number): string {
  return `srcu at ${address}`
}
/** Of the domain of the collection at a byte address. */
export function domainOf(owner: Owner, address: number): string {
  return `percpu.${owner}@${address}`
}

/** How messages name a domain that has this name. */
export function titleOf(names: Names, memory: Memory, domain: string): string {
  const [, owner, address] = form.exec(domain) ?? []
  if (owner === undefined) return domain
  const name = names.nameAt(owner as Owner, memory, Number(address))
  return name === undefined ? domain : `${nounOf(owner as Owner)} ${name}`
}
