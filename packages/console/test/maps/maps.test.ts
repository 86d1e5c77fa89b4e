/** `percpu maps`: what the spaces of a living machine have, as text, JSON and a picture. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { boot, type Machine } from 'percpu'
import { drawMaps, inspectSpaces, renderMaps, serveInspection, type SpacesReport } from 'percpu-console'

const PAGE = 4096
const BLOCK = 1024 * PAGE
const REGION = 1024 * BLOCK

const folder = await mkdtemp(path.join(tmpdir(), 'percpu-maps-'))
after(() => rm(folder, { recursive: true }))
let sockets = 0
const freshPath = () => path.join(folder, `${String(sockets++)}.sock`)
const command = new URL('../../bin/percpu.js', import.meta.url).pathname
const run = (...args: readonly string[]) => promisify(execFile)(process.execPath, [command, 'maps', ...args])

/** A space with a page, a block, half a table of pages in the next region, and a read-only area. */
async function withSpaces(): Promise<Machine> {
  const machine = boot({ cpus: 2, memory: '64 MiB' })
  const space = machine.space('a <b> & "c"\u001b')
  space.map(0, 2 * PAGE)
  space.write(PAGE, 1)
  space.map(70 * BLOCK, BLOCK, { huge: true })
  space.write(70 * BLOCK, 1)
  space.map(REGION, BLOCK)
  space.populate(REGION, BLOCK / 2)
  await space.protect(REGION, BLOCK, { write: false })
  machine.space('empty')
  return machine
}
async function served<Result>(machine: Machine, use: (socket: string) => Promise<Result>): Promise<Result> {
  const server = await serveInspection(machine, freshPath())
  try {
    return await use(server.path)
  } finally {
    await server.close()
  }
}
const reportOf = (machine: Machine): SpacesReport => ({
  protocol: 1,
  pid: 1,
  title: 'test',
  spaces: machine.spaces(),
})
/** How often a shape of a kind is drawn, without the legend. */
const drawn = (svg: string, kind: string) => svg.split(`class="${kind}" x=`).length - 2

/** Fails unless every tag that is opened is closed, in the right order. */
function assertWellFormed(svg: string): void {
  const open: string[] = []
  for (const [tag, slash, name, , isEmpty] of svg.matchAll(/<(\/?)([\w]+)((?: [\w:]+="[^"<]*")*)(\/?)>/g)) {
    if (slash === '/') assert.equal(open.pop(), name, tag)
    else if (isEmpty === '') open.push(name ?? '')
  }
  assert.deepEqual(open, [])
  const text = svg.replace(/<(\/?)([\w]+)((?: [\w:]+="[^"<]*")*)(\/?)>/g, '')
  assert.doesNotMatch(text, /[<>]|&(?!amp;|lt;|gt;|quot;)/)
}

describe('percpu maps', () => {
  it('prints a row for each area, with what of it has memory', async () => {
    const { stdout } = await served(await withSpaces(), (socket) => run(socket))
    const cells = stdout.split('\n').map((line) =>
      line
        .split('│')
        .map((cell) => cell.trim())
        .slice(1, -1),
    )
    const rows = cells.filter(([from]) => /^[0-9a-f]{11}$/.test(from ?? ''))
    const none = '0 B'
    assert.deepEqual(rows, [
      ['00000000000', '00000001fff', 'read, write', '8 KiB', '4 KiB', none, none, '4 KiB', '4 KiB'],
      [
        '00011800000',
        '00011bfffff',
        'read, write, in blocks',
        ...Array<string>(3).fill('4 MiB'),
        none,
        '4 MiB',
        '4 MiB',
      ],
      ['00100000000', '001003fffff', 'read', '4 MiB', '2 MiB', none, none, '2 MiB', '2 MiB'],
    ])
    assert.match(stdout, new RegExp(`^\\S+ \\(process ${String(process.pid)}\\): 2 spaces\n`))
    assert.match(
      stdout,
      /\naddress space a <b> & "c"\\u001b\n3 areas: 8 MiB mapped, 6 MiB resident; 5 tables: 20 KiB\n/,
    )
    assert.match(stdout, /\naddress space empty\n0 areas: 0 B mapped, 0 B resident; 0 tables: 0 B\n$/)
  })

  it('prints JSON, and only the spaces that are named', async () => {
    const machine = await withSpaces()
    await served(machine, async (socket) => {
      const { stdout } = await run(socket, 'empty', '--json')
      const { pid, spaces } = JSON.parse(stdout) as SpacesReport
      assert.deepEqual([pid, spaces.map(({ name }) => name)], [process.pid, ['empty']])
      assert.deepEqual((await inspectSpaces(socket)).spaces, machine.spaces())
      await assert.rejects(run(socket, 'none'), { code: 2, stderr: /has no space none; it has .*empty/ })
      await assert.rejects(run(socket, '--svg', '--json'), { code: 2 })
    })
  })

  it('draws the tables into a file', async () => {
    const file = path.join(folder, 'maps.svg')
    await writeFile(file, 'what was there')
    await served(await withSpaces(), (socket) => run(socket, '--svg', '-o', file))
    const svg = await readFile(file, 'utf8')
    assertWellFormed(svg)
    assert.match(svg, /^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" /)
    assert.match(svg, /a &lt;b&gt; &amp; &quot;c&quot;\\u001b/)
    // A page, a block, half a table; each one was written to.
    assert.deepEqual([drawn(svg, 'own'), drawn(svg, 'dirty'), drawn(svg, 'block')], [3, 3, 1])
    assert.deepEqual([drawn(svg, 'shared'), drawn(svg, 'mapped'), drawn(svg, 'fixed')], [0, 2, 1])
    // Up to the entry 70 of the first region: two rows of 64; one of the second.
    assert.equal(drawn(svg, 'free'), 3)
    assert.match(svg, /<title>00011800000: a block of 4 MiB, written to, read<\/title>/)
    assert.match(
      svg,
      /<title>00100000000: 512 of 1024 pages have memory, 512 written to, 512 read, 0 shared<\/title>/,
    )
  })

  it('draws what forks share', async () => {
    const machine = await withSpaces()
    const space = machine.space('shared')
    space.map(0, BLOCK)
    space.populate(0, BLOCK)
    const fork = await space.fork()
    fork.write(0, 1)
    const report = reportOf(machine)
    const svg = drawMaps({ ...report, spaces: report.spaces.filter(({ kind }) => kind === 'snapshot') })
    assertWellFormed(svg)
    assert.match(svg, /1023 shared<\/title>/)
    assert.deepEqual([drawn(svg, 'shared'), drawn(svg, 'own')], [1, 0])
    assert.match(
      renderMaps(report, { color: false }),
      /snapshot 0\.1\.1\n1 area: 4 MiB mapped, 4 MiB resident/,
    )
  })

  it('counts regions and areas that are too many', () => {
    const machine = boot({ cpus: 1, memory: '16 MiB' })
    const space = machine.space('wide')
    for (let region = 0; region < 40; region++) {
      space.map(region * REGION, PAGE)
      space.write(region * REGION, 1)
    }
    const svg = drawMaps(reportOf(machine))
    assertWellFormed(svg)
    assert.match(svg, />and 20 more areas</)
    assert.match(svg, />and 8 more regions</)
    assert.equal(drawn(svg, 'own'), 32)
  })

  it('says why it cannot', async () => {
    const socket = freshPath()
    await assert.rejects(run(socket), { code: 1, stderr: /no such socket/ })
    const silent = createServer((connection) => connection.resume().end()).listen(socket)
    await assert.rejects(run(socket), { code: 1, stderr: /closed before an answer came/ })
    await new Promise((resolve) => silent.close(resolve))
    const machine = boot({ cpus: 1 })
    await served(machine, async (path) => {
      await machine.offline()
      await assert.rejects(run(path), { code: 1, stderr: /could not tell: .*offline/ })
    })
    const where = path.join(folder, 'none', 'maps.svg')
    await served(await withSpaces(), (path) =>
      assert.rejects(run(path, '--svg', '-o', where), { code: 1, stderr: /none/ }),
    )
  })
})
