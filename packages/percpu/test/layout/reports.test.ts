/**
 * Layouts as text and as data: the pahole report, descriptions, hashes and what changed between two
 * versions.
 */
import assert from 'node:assert/strict'
import { describe as suite, it } from 'node:test'
import fc from 'fast-check'
import {
  aligned,
  array,
  atomic,
  big,
  describe,
  diff,
  f64,
  formatDiff,
  i32,
  isStruct,
  layoutCommand,
  locked,
  owner,
  pad,
  published,
  racy,
  report,
  struct,
  structsOf,
  summarize,
  u16,
  u32,
  u64,
  u8,
  type FieldSpec,
} from 'percpu'

const Inner = struct('Inner', { flag: atomic(i32), value: racy(f64), tail: u8 })
const Route = struct('Route', {
  state: atomic(u32),
  count: owner(u64),
  next: locked(i32, 'routes.lock'),
  name: published(array(u8, 16)),
  pairs: array(Inner, 2),
  inner: Inner,
  _: pad(4),
  line: aligned(racy(big(u32)), 'cacheline'),
  grid: array(array(u16, 3), 2),
})

suite('layout: report', () => {
  it('prints members, holes, cache lines and sums as pahole does', () => {
    const lines = [
      'struct Route {',
      '\tu32                        state;                /*     0     4 atomic */',
      '',
      '\t/* XXX 4 bytes hole, try to pack */',
      '',
      '\tu64                        count;                /*     8     8 owner */',
      '\ti32                        next;                 /*    16     4 locked by routes.lock */',
      '\tu8                         name[16];             /*    20    16 published */',
      '',
      '\t/* XXX 4 bytes hole, try to pack */',
      '',
      '\tstruct Inner               pairs[2];             /*    40    48 */',
      '',
      '\t/* XXX last struct has 7 bytes of padding */',
      '',
      '\t/* --- cacheline 1 boundary (64 bytes) was 24 bytes ago --- */',
      '\tstruct Inner               inner;                /*    88    24 */',
      '',
      '\t/* XXX last struct has 7 bytes of padding */',
      '',
      '\tu8                         _[4];                 /*   112     4 reserved */',
      '',
      '\t/* XXX 12 bytes hole, try to pack */',
      '',
      '\t/* --- cacheline 2 boundary (128 bytes) --- */',
      '\tbe u32                     line;                 /*   128     4 racy */',
      '\tu16                        grid[2][3];           /*   132    12 owner */',
      '',
      '\t/* size: 192, cachelines: 3, members: 9 */',
      '\t/* sum members: 124, holes: 3, sum holes: 20 */',
      '\t/* padding: 48 */',
      '\t/* align: 64 */',
      '};',
      '',
    ]
    assert.equal(report(Route), lines.join('\n'))
  })

  it('expands nested structs, with offsets from the outermost', () => {
    const Outer = struct('Outer', { head: u8, inner: Inner, tail: u16 })
    const lines = [
      'struct Outer {',
      '\tu8                         head;                 /*     0     1 owner */',
      '',
      '\t/* XXX 7 bytes hole, try to pack */',
      '',
      '\tstruct Inner {',
      '\t\ti32                        flag;                 /*     8     4 atomic */',
      '',
      '\t\t/* XXX 4 bytes hole, try to pack */',
      '',
      '\t\t/* --- cacheline 1 boundary (16 bytes) --- */',
      '\t\tf64                        value;                /*    16     8 racy */',
      '\t\tu8                         tail;                 /*    24     1 owner */',
      '\t} inner;                /*     8    24 */',
      '',
      '\t/* XXX last struct has 7 bytes of padding */',
      '',
      '\t/* --- cacheline 2 boundary (32 bytes) --- */',
      '\tu16                        tail;                 /*    32     2 owner */',
      '',
      '\t/* size: 40, cachelines: 3, members: 3 */',
      '\t/* sum members: 27, holes: 1, sum holes: 7 */',
      '\t/* padding: 6 */',
      '\t/* align: 8 */',
      '\t/* last cacheline: 8 bytes */',
      '};',
      '',
    ]
    assert.equal(report(Outer, { expand: true, lineSize: 16 }), lines.join('\n'))
  })

  it('accounts for every byte', () => {
    const types = fc.constantFrom<FieldSpec>(
      u8,
      u16,
      u32,
      u64,
      f64,
      Inner,
      array(u8, 5),
      pad(3),
      aligned(u8, 32),
    )
    fc.assert(
      fc.property(fc.array(types, { minLength: 1, maxLength: 10 }), (specs) => {
        const fields = Object.fromEntries(specs.map((spec, index) => [`m${String(index)}`, spec]))
        const layout = struct('S', fields)
        const sum = summarize(layout)
        assert.equal(sum.sumMembers + sum.sumHoles + sum.padding, layout.size)
        assert.equal(sum.members, specs.length)
        assert.equal(sum.cachelines, Math.floor((layout.size + 63) / 64))
        assert.equal(report(layout).match(/bytes? hole/g)?.length ?? 0, sum.holes)
      }),
    )
  })

  it('prints the stride where the alignment asks for more than the size', () => {
    assert.match(report(struct('S', { a: u8 }, { align: 64 })), /align: 64, stride: 64/)
  })
})

suite('layout: descriptions', () => {
  it('are plain JSON of every field, nested ones under their path', () => {
    const described = describe(Route)
    assert.deepEqual(JSON.parse(JSON.stringify(described)), described)
    assert.deepEqual([described.name, described.size, described.align], ['Route', 192, 64])
    assert.deepEqual(described.fields.slice(1, 8), [
      { path: 'count', type: 'u64', kind: 'owner', offset: 8, size: 8 },
      { path: 'next', type: 'i32', kind: 'locked', lock: 'routes.lock', offset: 16, size: 4 },
      { path: 'name', type: 'u8[16]', kind: 'published', offset: 20, size: 16 },
      { path: 'pairs', type: 'struct Inner[2]', offset: 40, size: 48 },
      { path: 'pairs[].flag', type: 'i32', kind: 'atomic', offset: 40, size: 4 },
      { path: 'pairs[].value', type: 'f64', kind: 'racy', offset: 48, size: 8 },
      { path: 'pairs[].tail', type: 'u8', kind: 'owner', offset: 56, size: 1 },
    ])
    assert.equal(described.fields.at(-1)?.type, 'u16[2][3]')
  })

  it('hash to the same number only when nothing differs', () => {
    const base = { a: u32, b: racy(u16), _: pad(2), inner: Inner, l: locked(u32, 'x') }
    const versions = [
      struct('S', base),
      struct('T', base),
      struct('S', { ...base, more: u32 }),
      struct('S', { ...base, a: i32 }),
      struct('S', { ...base, a: atomic(u32) }),
      struct('S', { ...base, b: racy(big(u16)) }),
      struct('S', { ...base, l: locked(u32, 'y') }),
      struct('S', { c: u32, b: racy(u16), _: pad(2), inner: Inner, l: locked(u32, 'x') }),
      struct('S', { b: racy(u16), _: pad(2), a: u32, inner: Inner, l: locked(u32, 'x') }),
      struct('S', { a: u32, b: racy(u16), inner: Inner, l: locked(u32, 'x') }),
      struct('S', base, { align: 16 }),
      struct('S', { ...base, inner: struct('Inner', { flag: racy(i32), value: racy(f64), tail: u8 }) }),
    ]
    const hashes = versions.map(({ hash }) => hash)
    assert.equal(new Set(hashes).size, versions.length)
    assert.ok(hashes.every((hash) => Number.isInteger(hash) && hash >= 0 && hash < 2 ** 32))
    assert.equal(struct('S', { ...base }).hash, hashes[0])
  })

  it('have a hash that stays the same from release to release', () => {
    // FNV-1a of
    // {"name":"S","size":4,"align":4,"fields":[{"path":"a","type":"u32","kind":"owner","offset":0,"size":4}]}
    assert.equal(struct('S', { a: u32 }).hash, 3411427757)
  })
})

suite('layout: diff', () => {
  const before = struct('S', { a: u32, b: racy(u32), inner: Inner, l: locked(u32, 'x'), gone: u8 })

  it('finds nothing between equal layouts', () => {
    assert.deepEqual(diff(describe(before), describe(struct('S', before.definition))), [])
    assert.equal(formatDiff([]), '')
  })

  it('finds added, removed, moved, resized and changed fields, and the size', () => {
    const after = struct(
      'S',
      { a: atomic(u64), b: racy(big(u32)), l: locked(u32, 'y'), inner: Inner, fresh: array(Inner, 2) },
      { align: 64 },
    )
    const changes = diff(describe(before), describe(after))
    assert.deepEqual(changes, [
      { struct: 'S', change: 'size', from: 40, to: 88 },
      { struct: 'S', change: 'align', from: 8, to: 64 },
      { struct: 'S', field: 'gone', change: 'removed', from: 36 },
      { struct: 'S', field: 'a', change: 'type', from: 'u32', to: 'u64' },
      { struct: 'S', field: 'a', change: 'resized', from: 4, to: 8 },
      { struct: 'S', field: 'a', change: 'kind', from: 'owner', to: 'atomic' },
      { struct: 'S', field: 'b', change: 'moved', from: 4, to: 8 },
      { struct: 'S', field: 'b', change: 'type', from: 'u32', to: 'be u32' },
      { struct: 'S', field: 'l', change: 'moved', from: 32, to: 12 },
      { struct: 'S', field: 'l', change: 'lock', from: 'x', to: 'y' },
      { struct: 'S', field: 'inner', change: 'moved', from: 8, to: 16 },
      { struct: 'S', field: 'fresh', change: 'added', to: 40 },
    ])
    assert.equal(
      formatDiff(changes.slice(0, 4)),
      [
        '  struct S  size     40 -> 88',
        '  struct S  align    8 -> 64',
        '  S.gone    removed  36 ->',
        '  S.a       type     u32 -> u64',
        '',
      ].join('\n'),
    )
  })

  it('looks into nested structs and arrays of them', () => {
    const Grown = struct('Inner', { flag: atomic(i32), value: racy(f64), more: u64, tail: u8 })
    const wrap = (inner: typeof Inner | typeof Grown): ReturnType<typeof describe> =>
      describe(struct('S', { head: u64, inner, list: array(inner, 2) }))
    assert.deepEqual(diff(wrap(Inner), wrap(Grown)), [
      { struct: 'S', change: 'size', from: 80, to: 104 },
      { struct: 'S', field: 'inner', change: 'resized', from: 24, to: 32 },
      { struct: 'S', field: 'inner.more', change: 'added', to: 24 },
      { struct: 'S', field: 'inner.tail', change: 'moved', from: 24, to: 32 },
      { struct: 'S', field: 'list', change: 'moved', from: 32, to: 40 },
      { struct: 'S', field: 'list', change: 'resized', from: 48, to: 64 },
      { struct: 'S', field: 'list[].more', change: 'added', to: 56 },
      { struct: 'S', field: 'list[].tail', change: 'moved', from: 48, to: 64 },
    ])
  })

  it('lists a nested struct that came or went as one field', () => {
    const without = describe(struct('S', { head: u64 }))
    const having = describe(struct('S', { head: u64, inner: Inner, list: array(Inner, 2) }))
    assert.deepEqual(
      diff(having, without).map(({ field, change }) => [field, change]),
      [
        [undefined, 'size'],
        ['inner', 'removed'],
        ['list', 'removed'],
      ],
    )
    assert.deepEqual(
      diff(without, having).map(({ field, change }) => [field, change]),
      [
        [undefined, 'size'],
        ['inner', 'added'],
        ['list', 'added'],
      ],
    )
  })

  it('takes a missing side for a struct that came or went', () => {
    const described = describe(before)
    assert.deepEqual(diff(undefined, described), [{ struct: 'S', change: 'struct-added', to: 40 }])
    assert.deepEqual(diff(described, undefined), [{ struct: 'S', change: 'struct-removed', from: 40 }])
    assert.deepEqual(diff(undefined, undefined), [])
  })
})

suite('layout: the structs of a module', () => {
  const module = {
    Route,
    again: Route,
    text: 'Route',
    nothing: null,
    Small: struct('Small', { a: u8 }),
    run: report,
  }

  it('are collected once each, by name, with nested ones on request', () => {
    assert.deepEqual(
      structsOf(module).map(({ name }) => name),
      ['Route', 'Small'],
    )
    assert.deepEqual(
      structsOf(module, { nested: true }).map(({ name }) => name),
      ['Inner', 'Route', 'Small'],
    )
    assert.ok(isStruct(Route))
    for (const other of [null, undefined, 5, {}, u32, array(Route, 2)]) assert.ok(!isStruct(other))
  })

  it('print as reports or as JSON', () => {
    assert.equal(layoutCommand(module), `${report(Route)}\n${report(module.Small)}`)
    assert.equal(layoutCommand(module, { names: ['Small'] }), report(module.Small))
    assert.deepEqual(JSON.parse(layoutCommand(module, { json: true, nested: true })), [
      describe(Inner),
      describe(Route),
      describe(module.Small),
    ])
    assert.equal(layoutCommand({}), '')
  })
})
