// Draws mutants at random, the same ones for the same seed and the same sources.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { createCompiler } from './compile.mjs'
import { applyMutation, mutationsOf } from './mutations/index.mjs'

const nothing = { isEquivalent: () => false }

/**
 * Draws `count` mutants from `sources`, which readSourceFolders gives. The folders take turns, so
 * that each gets as many as the others; one that has no more to give leaves its turns to the rest.
 * A folder's own order depends on the seed, its name and its sources alone. A larger count only
 * adds to it.
 *
 * Within a folder, first a place of the code is drawn, then a kind of mutation, then one of that
 * kind. No place comes twice before all have come once. A mutation is discarded if it does not
 * compile, gives JavaScript that was there already, or is one of `equivalents` (see
 * mutant-equivalents.mjs). Gives `{ mutants, discarded }`.
 */
export function drawMutants(root, sources, { seed, count, equivalents = nothing }) {
  const tryMutant = createTrial(root, equivalents)
  const mutants = []
  const discarded = { notCompiled: 0, same: 0, equivalent: 0 }
  let turns = foldersOf(root, sources).map(([folder, places]) =>
    shuffled(places, generator(`${seed} ${folder}`)),
  )
  while (turns.length > 0 && mutants.length < count) {
    turns = turns.filter((turn) => {
      if (mutants.length === count) return true
      const mutant = nextMutant(turn, tryMutant, discarded)
      if (mutant !== undefined) mutants.push({ ...mutant, id: mutants.length + 1 })
      return mutant !== undefined
    })
  }
  return { mutants, discarded }
}

function nextMutant(turn, tryMutant, discarded) {
  // A loop that is left would end the turn.
  for (let next = turn.next(); !next.done; next = turn.next()) {
    const { mutant, fault } = tryMutant(next.value)
    if (fault === undefined) return mutant
    discarded[fault]++
  }
  return undefined
}

/** Gives a function that compiles a mutation: `{ mutant }`, or `{ fault }`. */
function createTrial(root, { isEquivalent }) {
  const compile = createCompiler(root)
  const known = new Map()
  return ({ source, text, mutation }) => {
    const { file } = source
    if (isEquivalent(file, mutation)) return { fault: 'equivalent' }
    if (!known.has(file)) known.set(file, new Set([compile(file, text, { check: false }).js]))
    const { errors, output, js } = compile(file, applyMutation(text, mutation))
    if (errors) return { fault: 'notCompiled' }
    if (known.get(file).has(js)) return { fault: 'same' }
    known.get(file).add(js)
    return { mutant: { ...source, ...mutation, output, js } }
  }
}

/** The folders in the order of their names, each with its places, and the mutations of each. */
function foldersOf(root, sources) {
  const folders = new Map()
  for (const source of sources) {
    const text = readFileSync(path.join(root, source.file), 'utf8')
    const places = new Map()
    for (const mutation of mutationsOf(source.file, text)) {
      const { node } = mutation.place
      if (!places.has(node)) places.set(node, [])
      places.get(node).push({ source, text, mutation })
    }
    if (!folders.has(source.folder)) folders.set(source.folder, [])
    folders.get(source.folder).push(...places.values())
  }
  return [...folders].sort(([one], [other]) => (one < other ? -1 : 1))
}

/** All mutations, one of each place in a random order of the places, then the next of each. */
function* shuffled(places, random) {
  const order = [...places]
  for (let end = order.length; end > 1; end--) {
    const at = random(end)
    ;[order[at], order[end - 1]] = [order[end - 1], order[at]]
  }
  for (let left = order; left.length > 0; left = left.filter((place) => place.length > 0)) {
    for (const place of left) yield take(place, random)
  }
}

function take(place, random) {
  const kinds = [...new Set(place.map(({ mutation }) => mutation.kind))]
  const kind = kinds[random(kinds.length)]
  const ofKind = place.filter(({ mutation }) => mutation.kind === kind)
  const taken = ofKind[random(ofKind.length)]
  place.splice(place.indexOf(taken), 1)
  return taken
}

/** Random whole numbers from 0 to below `limit`: SplitMix32 with a hash of `seed` as its state. */
function generator(seed) {
  let state = createHash('sha256').update(seed).digest().readUInt32LE(0)
  return (limit) => {
    state = (state + 0x9e3779b9) | 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    mixed = (mixed ^ (mixed >>> 15)) >>> 0
    return Math.floor((mixed / 2 ** 32) * limit)
  }
}
