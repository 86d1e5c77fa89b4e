#!/usr/bin/env node
// @ts-check
/**
 * Writes packages/percpu/test/layout/abi.lock.json: what gcc makes of a number of structs, for the
 * tests of `struct` to compare with. Needs gcc for a 64-bit machine; the tests do not.
 *
 *     node tools/layout-abi.mjs
 *
 * A member is spelled `u32 name`, `be u16 name[3][2]`, `struct Inner name @64` (an alignment). Some
 * structs are written out, the rest are drawn from a generator with a fixed seed.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** @typedef {{ name: string, members: string[] }} Case */

/** @type {Case[]} */
const written = [
  { name: 'One', members: ['u8 a'] },
  { name: 'Pair', members: ['u8 a', 'u64 b'] },
  { name: 'Descending', members: ['f64 a', 'u32 b', 'i16 c', 'i8 d'] },
  { name: 'Ascending', members: ['i8 a', 'i16 b', 'i32 c', 'u64 d'] },
  { name: 'Zigzag', members: ['u8 a', 'u32 b', 'u8 c', 'u16 d', 'u8 e', 'u64 f', 'u8 g'] },
  { name: 'Bytes', members: ['u8 a[3]', 'i8 b[5]'] },
  { name: 'Halves', members: ['u8 a', 'u16 b[3]', 'u8 c'] },
  { name: 'Floats', members: ['u8 a', 'f32 b', 'u8 c', 'f64 d', 'f32 e'] },
  { name: 'Orders', members: ['be u16 a', 'be u32 b', 'be u64 c', 'be f32 d', 'be i16 e'] },
  { name: 'Matrix', members: ['u8 a', 'u16 b[2][3]', 'u32 c[3][2][2]', 'u8 d'] },
  { name: 'Outer', members: ['u8 a', 'struct Pair b', 'u8 c'] },
  { name: 'Deep', members: ['u8 a', 'struct Outer b', 'struct Halves c', 'u16 d', 'struct One e'] },
  { name: 'Rows', members: ['u8 a', 'struct Halves b[3]', 'struct Zigzag c[2]', 'u8 d'] },
  { name: 'Line', members: ['u32 a', 'u32 b @64', 'u32 c'] },
  { name: 'Page', members: ['u8 a', 'u8 b @4096', 'u16 c'] },
  { name: 'AlignedBytes', members: ['u8 a', 'u8 b[3] @16', 'u8 c @2'] },
  { name: 'AlignedStruct', members: ['u8 a', 'struct One b @32', 'struct Pair c @16', 'u8 d'] },
  { name: 'WeakerAlignment', members: ['u8 a', 'u64 b @2', 'u8 c'] },
  { name: 'HoldsLine', members: ['u8 a', 'struct Line b', 'u8 c'] },
  { name: 'LinesInRows', members: ['u16 a', 'struct Line b[2]', 'u8 c'] },
  { name: 'Tail', members: ['u64 a', 'u8 b'] },
  { name: 'TailsInRows', members: ['struct Tail a[3]', 'u8 b'] },
]

/** mulberry32 (Tommy Ettinger, public domain): the same structs in every run. */
let seed = 20
function random(/** @type {number} */ below) {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) % below
}

const scalars = ['u8', 'i8', 'u16', 'i16', 'u32', 'i32', 'u64', 'f32', 'f64']
const cTypes = Object.freeze({
  u8: 'uint8_t',
  i8: 'int8_t',
  u16: 'uint16_t',
  i16: 'int16_t',
  u32: 'uint32_t',
  i32: 'int32_t',
  u64: 'uint64_t',
  f32: 'float',
  f64: 'double',
})

/** @returns {Case[]} */
function drawn() {
  const cases = [...written]
  for (let number = 0; number < 60; number++) {
    const members = []
    const count = 1 + random(8)
    for (let at = 0; at < count; at++) {
      const inner = cases[random(cases.length)]
      const type =
        random(4) === 0 && inner !== undefined ? `struct ${inner.name}` : scalars[random(scalars.length)]
      const dimensions = random(3) === 0 ? `[${1 + random(4)}]` : ''
      const alignment = random(6) === 0 ? ` @${2 ** random(8)}` : ''
      members.push(`${type} m${at}${dimensions}${alignment}`)
    }
    cases.push({ name: `Random${number}`, members })
  }
  return cases
}

function memberInC(/** @type {string} */ text) {
  const match = /^(?:be )?(struct )?(\w+) (\w+(?:\[\d+\])*)(?: @(\d+))?$/.exec(text)
  if (match === null) throw new Error(`cannot read member '${text}'`)
  const [, struct, type, declared, alignment] = match
  const cType = struct ? `struct ${type}` : cTypes[/** @type {keyof typeof cTypes} */ (type)]
  return `${cType} ${declared}${alignment ? ` __attribute__((aligned(${alignment})))` : ''};`
}

const nameOf = (/** @type {string} */ member) =>
  /** @type {RegExpExecArray} */ (/ (\w+)(?:\[\d+\])*(?: @\d+)?$/.exec(member))[1]

function program(/** @type {Case[]} */ cases) {
  const lines = ['#include <stddef.h>', '#include <stdint.h>', '#include <stdio.h>']
  for (const { name, members } of cases) lines.push(`struct ${name} { ${members.map(memberInC).join(' ')} };`)
  lines.push('int main(void) {')
  for (const { name, members } of cases) {
    lines.push(`  printf("%zu %zu", sizeof(struct ${name}), _Alignof(struct ${name}));`)
    for (const member of members) lines.push(`  printf(" %zu", offsetof(struct ${name}, ${nameOf(member)}));`)
    lines.push('  printf("\\n");')
  }
  lines.push('  return 0;', '}')
  return lines.join('\n') + '\n'
}

const cases = drawn()
const folder = mkdtempSync(path.join(tmpdir(), 'layout-abi-'))
try {
  const source = path.join(folder, 'layouts.c')
  const binary = path.join(folder, 'layouts')
  writeFileSync(source, program(cases))
  execFileSync('gcc', ['-std=c11', '-o', binary, source])
  const rows = execFileSync(binary, { encoding: 'utf8' }).trim().split('\n')
  const compiler = execFileSync('gcc', ['-dumpfullversion'], { encoding: 'utf8' }).trim()
  const machine = execFileSync('gcc', ['-dumpmachine'], { encoding: 'utf8' }).trim()
  const lines = cases.map(({ name, members }, at) => {
    const [size, align, ...offsets] = (rows[at] ?? '').split(' ').map(Number)
    return `    ${JSON.stringify({ name, size, align, members, offsets })}`
  })
  const file = path.join(
    path.dirname(path.dirname(fileURLToPath(import.meta.url))),
    'packages/percpu/test/layout/abi.lock.json',
  )
  const head = `  "compiler": ${JSON.stringify(`gcc ${compiler}, ${machine}`)},\n  "structs": [\n`
  writeFileSync(file, `{\n${head}${lines.join(',\n')}\n  ]\n}\n`)
  console.log(`${path.basename(file)}: ${cases.length} structs`)
} finally {
  rmSync(folder, { recursive: true })
}
