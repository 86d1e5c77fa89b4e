/** Domains of one thread: which class a flavour has, and the end of one that others cleaned up. */
import { ArgumentError } from '../errors.js'
import { shown } from '../machine/check.js'
import { refuse } from './srcu-cleanup.js'
import { SrcuMisuseError } from './srcu-errors.js'
import { makeFastSrcu } from './srcu-fast.js'
import { FAST, NORMAL } from './srcu-layouts.js'
import { NormalSrcu } from './srcu-normal.js'
import type { Srcu, SrcuFlavour, SrcuParts } from './srcu.js'
import { makeTinySrcu } from './tiny-srcu.js'
import { visible } from '../shown.js'

/** As a domain's words say it. */
export const flavours = { fast: FAST, normal: NORMAL }

/** Another thread has cleaned this thread's domain up. */
export function endStale(domain: Srcu): void {
  refuse(domain, () => cleanedUp(domain.name))
  domain.close(cleanedUp(domain.name))
}
export const cleanedUp = (name: string): SrcuMisuseError =>
  new SrcuMisuseError(`${visible(name)}: this domain was cleaned up`, { name })
export const beingCleanedUp = (name: string, address: number): SrcuMisuseError =>
  new SrcuMisuseError(`${name}: this domain is being cleaned up`, { address })

export function checkFlavour(domain: Srcu, flavour: SrcuFlavour | undefined): Srcu {
  if (flavour === undefined || domain.flavour === flavour) return domain
  throw new ArgumentError(`flavour: the domain ${shown(domain.name)} is ${domain.flavour}, not ${flavour}`, {
    flavour,
    found: domain.flavour,
  })
}

export function makeDomain(parts: SrcuParts, flavour: SrcuFlavour): Srcu {
  if (parts.words.parts.length === 1) return makeTinySrcu(parts, flavour)
  if (flavour === 'normal') return new NormalSrcu(parts)
  return makeFastSrcu(parts)
}
