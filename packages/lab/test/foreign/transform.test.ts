/** A transformed program does what the program did, and its accesses to shared memory are seen. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { transform } from '../../dist/foreign/transform.js'
import { compare, runInShadow } from './programs.js'

/** Each body, with the accesses that must be seen when it is transformed. */
const bodies: Record<string, readonly (readonly [body: string, accesses: readonly string[]])[]> = {
  elements: [
    ['return i32[2]', ['load 2']],
    ['return (i32[2] = 9)', ['store 2 = 9']],
    ['return (i32[log(1)] += log(4))', ['load 1', 'store 1 = -15']],
    [
      'return [i32[1]++, ++i32[1], i32[1]--, --i32[1]]',
      Array.from({ length: 8 }, (_, k) =>
        k % 2 ? `store 1 = ${[0, -18, 0, -17, 0, -18, 0, -19][k]}` : 'load 1',
      ),
    ],
    [
      'i32[0] ||= 5; i32[0] &&= 6; i32[0] ??= 7; return i32[0]',
      ['load 0', 'load 0', 'store 0 = 6', 'load 0', 'load 0'],
    ],
    ['return i32[99] = 3', []],
    ['return [i32[99], i32[-1], i32[1.5], i32["1"], i32["01"], i32["-0"], i32[-0]]', ['load 1', 'load 0']],
    ['i32.note = 1; i32[-1] = 5; return [i32["note"], i32[-1], Object.keys(i32).length, i32["length"]]', []],
    ['big[0] += 3n; return big[0]', ['load 0', 'store 0 = -77309411345', 'load 0']],
    ['big[0] = 3', []],
    ['i32[0] = 3n', []],
    ['i32[0] = { valueOf() { log("value"); return 6.7 } }; return i32[0]', ['store 0 = 6.7', 'load 0']],
    [
      'u8[3] = 511; u8[4] = "12"; return [u8[3], u8[4]]',
      ['store 3 = 511', 'store 4 = 12', 'load 3', 'load 4'],
    ],
    ['f64[1] = 0.5; return f64[1] ** 2', ['store 1 = 0.5', 'load 1']],
  ],
  targets: [
    ['[i32[0], i32[1] = log(7), ...own[Symbol.toStringTag]] = [1]', ['store 0 = 1', 'store 1 = 7']],
    ['[i32[0], i32[1] = log(7)] = [1]; return i32[1]', ['store 0 = 1', 'store 1 = 7', 'load 1']],
    ['({ a: i32[2], b: i32[log(3)] = 5 } = { a: 1, get b() { log("b") } })', ['store 2 = 1', 'store 3 = 5']],
    ['for (i32[4] of [1, 2]) log(i32[4])', ['store 4 = 1', 'load 4', 'store 4 = 2', 'load 4']],
    ['for (i32[4] in { 7: 1 }) ; return i32[4]', ['store 4 = 7', 'load 4']],
    ['const [x, y, ...z] = i32.subarray(0, 4); return [x, y, z]', ['load 0', 'load 1', 'load 2', 'load 3']],
    ['let x, y; [x, y] = i32; ({ 3: x, length: y } = i32); return [x, y]', ['load 0', 'load 1', 'load 3']],
    [
      'const { 2: x, length, byteLength, buffer } = i32; return [x, length, byteLength, buffer === i32.buffer]',
      ['load 2'],
    ],
    ['const same = ([own[0]] = i32); return same === i32', []],
  ],
  'order of evaluation': [
    ['log(i32)[log(1)] = log(2)', ['store 1 = 2']],
    ['null[log(1)] = log(2)', []],
    ['null[log(1)] += log(2)', []],
    ['null[log(1)](log(2))', []],
    ['own[log("x")](log(2))', []],
    [
      'const key = { toString() { log("key"); return "1" } }; i32[key] += log(3); i32[key]++; return i32[key]',
      ['load 1', 'store 1 = -16', 'load 1', 'store 1 = -15', 'load 1'],
    ],
    [
      'const o = { get x() { log("get"); return 1 }, set x(v) { log(v) } }; o[log("x")] += log(2); o["x"] ??= log(3)',
      [],
    ],
    ['"use strict"; Object.freeze([1])[0] = 2', []],
    ['Object.freeze([1])[0] = 2; return "sloppy"', []],
    ['return i32[await log(1)] + (i32[2] = await log(5))', ['load 1', 'store 2 = 5']],
  ],
  'loops and spreads': [
    ['let sum = 0; for (const x of i32.subarray(0, 3)) sum += x; return sum', ['load 0', 'load 1', 'load 2']],
    ['return [...i32.subarray(14), ...[1], ...own.subarray(2)]', ['load 0', 'load 1']],
    ['return Math.max(...i32.subarray(14))', ['load 0', 'load 1']],
    ['const copy = { ...i32.subarray(15) }; return copy', ['load 0', 'load 0']],
    ['function* all() { yield* i32.subarray(14) } return [...all()]', ['load 0', 'load 1']],
    ['return Array.from(i32.subarray(14), (x) => x + 1)', ['load 0', 'load 1']],
    ['return new Float64Array(i32.subarray(14))', ['load 0', 'load 1']],
    ['return Int32Array.from(i32.subarray(14))', ['load 0', 'load 1']],
    ['let keys = []; for (const k in i32.subarray(14)) keys.push(k); return keys', []],
  ],
  methods: [
    ['return i32.fill(3, 1, 3) === i32', ['store 1 = 3', 'store 2 = 3']],
    [
      'i32.set([1, 2], 1); i32.set(own.subarray(0, 1), 3); return i32[1]',
      ['store 1 = 1', 'store 2 = 2', 'store 3 = 5', 'load 1'],
    ],
    [
      'i32.set(i32.subarray(0, 2), 1); return i32.slice(0, 3)',
      ['load 0', 'load 1', 'store 1 = -20', 'store 2 = -19', 'load 0', 'load 1', 'load 2'],
    ],
    ['own.set(i32.subarray(1, 3)); return own', ['load 0', 'load 1']],
    ['own.set(i32)', []],
    ['const m = new Map(); m.set(i32, 1); return [m.get(i32), [...m.keys()][0] === i32]', []],
    [
      'const part = i32.subarray(2); part[0] = 4; return [part.length, part.byteOffset, part instanceof Int32Array]',
      ['store 0 = 4'],
    ],
    [
      'return i32.subarray(0, 3).map((x, k, all) => (all.length === 3 ? x * 2 : 0))',
      ['load 0', 'load 1', 'load 2'],
    ],
    [
      'return i32.subarray(0, 3).filter((x, k, all) => log(all.length) && x > -20)',
      ['load 0', 'load 1', 'load 2'],
    ],
    ['return i32.subarray(0, 2).reduce((sum, x, k, all) => sum + x + all.length, 1)', ['load 0', 'load 1']],
    [
      'let seen = []; i32.subarray(0, 2).forEach(function (x, k, all) { seen.push(x, k, all.length, this.t) }, { t: 1 }); return seen',
      ['load 0', 'load 1'],
    ],
    [
      'return [i32.at(-1), i32.indexOf(-19), i32.includes(205, -1), i32.at(99)]',
      ['load 15', 'load 0', 'load 1', 'load 15'],
    ],
    [
      'return [i32.subarray(0, 2).join("-"), i32.subarray(0, 2).toString(), `${i32.length}`]',
      ['load 0', 'load 1', 'load 0', 'load 1'],
    ],
    [
      'return [...i32.subarray(0, 2).entries()].concat([...i32.subarray(0, 1).values()])',
      ['load 0', 'load 1', 'load 0'],
    ],
    [
      'return i32.subarray(0, 3).sort((a, b) => b - a)[0]',
      ['load 0', 'load 1', 'load 2', 'store 0 = -16', 'store 1 = -19', 'store 2 = -20', 'load 0'],
    ],
    [
      'i32.subarray(0, 2).reverse(); return i32.copyWithin(4, 0, 2) === i32',
      [
        'load 0',
        'load 1',
        'store 0 = -19',
        'store 1 = -20',
        'load 0',
        'store 4 = -19',
        'load 1',
        'store 5 = -20',
      ],
    ],
    [
      'const part = i32.subarray(0, 2); return [part.toSorted(), part.toReversed(), part.with(-1, 5)]',
      ['load 0', 'load 1', 'load 0', 'load 1', 'load 0', 'load 1'],
    ],
    ['return i32.with(99, 1)', []],
    ['i32.map(5)', []],
    ['i32.sort(5)', []],
    ['big.fill(1)', []],
    ['const f = i32.fill; f.call(own, 1); return own', []],
    ['return i32["fill"](2, 0, 1) === i32', ['store 0 = 2']],
    [
      'class Words extends Int32Array { get first() { return this[0] } fill(...all) { log("own fill"); return super.fill(...all) } } const w = new Words(i32.buffer, 0, 2); w.fill(8); return [w.first, w.slice(1) instanceof Words]',
      ['store 0 = 8', 'store 1 = 8', 'load 0', 'load 1'],
    ],
  ],
  DataView: [
    [
      'data.setInt16(1, 515, true); return [data.getInt16(1), data.getUint8(1), data.getBigInt64(0, true)]',
      ['setInt16 1 515 true', 'getInt16 1 false', 'getUint8 1 false', 'getBigInt64 0 true'],
    ],
    ['data.getInt32(61)', []],
    ['data.setInt32(log(-1), log(3))', []],
    ['return [data.byteLength, data.buffer === i32.buffer]', []],
  ],
  Atomics: [
    [
      'return [Atomics.add(i32, 1, 2), Atomics.load(i32, 1), Atomics.store(i32, 2, 7.9)]',
      ['add 1 2', 'atomic load 1', 'atomic store 2 = 7'],
    ],
    [
      'return [Atomics.sub(i32, 1, 2), Atomics.and(i32, 1, 6), Atomics.or(i32, 1, 9), Atomics.xor(i32, 1, 3), Atomics.exchange(i32, 1, 4)]',
      ['sub 1 2', 'and 1 6', 'or 1 9', 'xor 1 3', 'exchange 1 4'],
    ],
    [
      'return [Atomics.compareExchange(i32, 1, -19, 4), Atomics.compareExchange(i32, 1, -19, 5), i32[1]]',
      ['compareExchange 1 -19 4', 'compareExchange 1 -19 5', 'load 1'],
    ],
    ['return Atomics.store(big, 0, 2n ** 65n + 1n)', ['atomic store 0 = 36893488147419103233']],
    [
      'return [Atomics.wait(i32, 0, 5), Atomics.wait(i32, 0, -20, 1), Atomics.notify(i32, 0), Atomics.notify(i32, 0, 3)]',
      ['wait 0 5 Infinity', 'wait 0 -20 1', 'notify 0 Infinity', 'notify 0 3'],
    ],
    [
      'const w = Atomics.waitAsync(i32, 0, -20); Atomics.notify(i32, 0); return [w.async, await w.value]',
      ['waitAsync 0 -20 Infinity', 'notify 0 Infinity'],
    ],
    ['return [Atomics.add(own, 0, 2), own[0], Atomics.notify(own, 0)]', []],
    ['Atomics.load(f64, 0)', []],
    ['Atomics.load(i32, 16)', []],
    ['Atomics.load(i32, -1)', []],
    ['Atomics.add(i32, log(0), 1n)', []],
    ['Atomics.add(big, 0, 1)', []],
    ['Atomics.wait(u8, 0, 0)', []],
    [
      'return Atomics.add(i32, { valueOf() { log("index"); return 1 } }, { valueOf() { log("value"); return 2 } })',
      ['add 1 2'],
    ],
    [
      'const { add: plus } = Atomics, other = Atomics; return [plus(i32, 0, 1), other.load(i32, 0), typeof Atomics, Atomics.isLockFree(4)]',
      ['add 0 1', 'atomic load 0'],
    ],
    [
      'return [globalThis.Atomics.load(i32, 1), { Atomics }.Atomics.load(i32, 2)]',
      ['atomic load 1', 'atomic load 2'],
    ],
    ['{ const Atomics = { load: () => "mine" }; return Atomics.load(i32, 0) }', []],
    ['const self = { Atomics: { load: () => "mine" } }; return self.Atomics.load(i32, 0)', []],
  ],
  'optional chains': [
    ['return [i32?.[1], null?.[log(1)], undefined?.[log(1)].x.y]', ['load 1']],
    [
      'const o = { w: i32 }; return [o?.w[1], o?.["w"]?.[2], o.x?.[log(3)], o.x?.y[log(4)].z]',
      ['load 1', 'load 2'],
    ],
    ['const o = null; return [o?.w[log(1)], o?.w.fill(log(2)), o?.w[log(1)].a.b(log(3))]', []],
    ['const o = {}; return o?.w[log(1)]', []],
    ['const o = {}; return o?.w.x[log(1)]', []],
    [
      'const o = { w: i32 }; o?.w.fill(1, 0, 2); return [o?.w?.at(0), o?.w.subarray(1)[0], o?.w.subarray?.(1)?.[0]]',
      ['store 0 = 1', 'store 1 = 1', 'load 0', 'load 0', 'load 0'],
    ],
    [
      'const o = { f() { return this.w }, w: i32 }; return [o.f?.()[1], o?.f()[1], o["f"]?.()?.[2], o.g?.()[log(1)]]',
      ['load 1', 'load 1', 'load 2'],
    ],
    [
      'const o = { a: { f(x) { return [this.t, x] }, t: 4 } }; return [(o?.a.f)(1), o?.a["f"](2), o?.a?.["f"]?.(3)[1], (o?.a["f"])(4)]',
      [],
    ],
    [
      'class P { #w = i32; #f() { return this.#w } at(p) { return [p?.#w[1], p?.#f()[2], p?.#f?.()[3]] } } const p = new P(); return [p.at(p), p.at(null)]',
      ['load 1', 'load 2', 'load 3'],
    ],
    ['const o = { w: { a: 1, b: i32 } }; return [delete o?.w["a"], delete o.w?.["b"], o]', []],
    ['delete i32?.[0]; return delete own[9]', []],
    ['"use strict"; return delete i32[0]', []],
    ['const f = null; return [f?.(log(1))[0], f?.[log(1)]?.(2)]', []],
    ['const o = { w: own }; return o?.w.set(i32.subarray(0, 1)), own[0]', ['load 0']],
    ['return (await log({ w: i32 }))?.w[await log(3)]', ['load 3']],
  ],
  'other syntax': [
    ['return [0 in i32, 99 in i32, "fill" in i32, i32.length, i32.hasOwnProperty(0)]', []],
    [
      'const a = { b: [function () { return new.target ? this : 0 }, class { x = 1 }] }; return [new a.b[1]().x, new (a["b"][1])().x, typeof new a.b[0]()]',
      [],
    ],
    ['const t = [(s, ...v) => [s.raw.join(), v, this]]; return t[0]`a${i32[1]}b`.slice(0, 2)', ['load 1']],
    ['const o = [function () { return this }]; return [o[0]() === o, (o[0])() === o]', []],
    [
      'class A { static get [i32[0] < 0 ? "x" : "y"]() { return 1 } f = i32[1]; static { log(i32[2]) } } return [A.x, new A().f]',
      ['load 0', 'load 2', 'load 1'],
    ],
    [
      'class B { m() { return 1 } get p() { return i32 } } class C extends B { n() { return [super["m"](), super.p[1], super.p?.[2], super.m?.()] } } return new C().n()',
      ['load 1', 'load 2'],
    ],
    ['const f = (x = i32[1], { y = i32[2] } = {}) => [x, y]; return f()', ['load 1', 'load 2']],
    ['if (i32[0])return[1,2][1];else return[3][0]', ['load 0']],
    ['let a = 1\nlet b = own\n++b[0]\na\nb[1] = 2\nreturn [a, b]', []],
    [
      'label: for (let k = 0; k < i32[6]; k++) { switch (i32[k]) { case i32[4]: break label; default: log(k) } }',
      [
        'load 6',
        'load 0',
        'load 4',
        'load 6',
        'load 1',
        'load 4',
        'load 6',
        'load 2',
        'load 4',
        'load 6',
        'load 3',
        'load 4',
        'load 6',
        'load 4',
        'load 4',
      ],
    ],
    ['return `${i32[1]}${`${i32[2]}`}` + "abc"[1] + [..."ab"][0] + /x/["source"]', ['load 1', 'load 2']],
    ['return (1, i32)[(log(1), 2)]', ['load 2']],
    [
      'return async () => i32[0], [typeof i32[1], void i32[2], -i32[3], !i32[4]]',
      ['load 1', 'load 2', 'load 3', 'load 4'],
    ],
    [
      'const words = [i32, own]; return words[0][1] + words[1][0] + words.map((w) => w[2]).at(-1)',
      ['load 1', 'load 2'],
    ],
  ],
}

for (const [name, cases] of Object.entries(bodies))
  describe(name, () => {
    for (const [body, accesses] of cases)
      it(body.replace(/\s+/g, ' ').slice(0, 90), async () => {
        const outcome = await compare(body)
        assert.deepEqual(outcome.after, outcome.plain)
        assert.deepEqual(outcome.accesses, accesses)
        assert.deepEqual(await runInShadow(body), outcome.plain)
      })
  })

describe('functions of the engine that are given a view whole', () => {
  it('do what they did, unseen', async () => {
    const { plain, after, accesses } = await compare('return JSON.stringify(i32) + Object.values(i32).join()')
    assert.deepEqual(after, plain)
    assert.deepEqual(accesses, [])
  })

  it('are reported where they are methods of a Buffer', async () => {
    const body =
      'const b = Buffer.from(i32.buffer); return [b.fill(7, 0, 2) === b, b.toString("latin1", 0, 2)]'
    const { plain, after, accesses } = await compare(body)
    assert.deepEqual(after, plain)
    assert.deepEqual(accesses, ['unseen fill', 'unseen toString'])
  })
})

describe('the text of a transformed source', () => {
  it('has every line where it was', () => {
    const source =
      '#!/usr/bin/env node\n"use strict"\n// a[0]\nconst x = a\n  ?.b // c\n  [\n i\n ]\n  .c[j]\n'
    const { code } = transform(source, { file: 'x.cjs', format: 'commonjs' })
    const lines = code.split('\n')
    assert.equal(lines[0], '#!/usr/bin/env node')
    assert.match(lines[1] ?? '', /^"use strict" ; const \{ lab: __lab \} = /)
    assert.match(lines[6] ?? '', /^ i$/)
    assert.match(lines[8] ?? '', /\[j\]$/)
  })

  it('keeps out of the way of names that are there', () => {
    const { code } = transform('const __lab = 1, __lab_ = [2]\nexport default __lab_[0]', {
      file: 'x.js',
      runtime: 'r',
    })
    assert.match(code, /^import \{ lab as __lab__ \} from "r"; const __lab = 1/)
    const own = transform('import { Atomics } from "./mine.js"\nAtomics.load(a, 0)', {
      file: 'x.js',
      runtime: 'r',
    })
    assert.match(own.code, /^import \{ lab as __lab \} from "r"; import \{ Atomics \}/)
  })

  it('is refused when the source does not parse', () => {
    assert.throws(() => transform('let a = ;', { file: 'broken.js' }), {
      name: 'SyntaxError',
      message: /broken\.js:1/,
    })
  })
})
