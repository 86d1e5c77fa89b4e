/** Commands over several lines: a shell has to read the same words. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { it } from 'node:test'
import stringWidth from 'string-width'
import { commandLines } from '../../dist/report/shell.js'

const words = ['percpu-lab', 'ring-lab.js', '--only', "it's found by 4 counters", '--replay', 'A'.repeat(130)]
const command = words.map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(' ')
const plain = ['percpu-lab', 'ring-lab.js', '--replay', 'A'.repeat(130)]

function readByShell(text: string): string[] {
  const printed = execFileSync('sh', ['-c', `printf '%s\\n' ${text.trimStart()}`], { encoding: 'utf8' })
  return printed.trimEnd().split('\n')
}

for (const width of [40, 60, 100, 400])
  it(`reads the same words from lines of ${width} columns`, () => {
    for (const [text, expected] of [
      [command, words],
      [plain.join(' '), plain],
    ] as const) {
      const lines = commandLines(text, width)
      for (const line of lines) assert.ok(stringWidth(line) <= width, line)
      assert.deepEqual(readByShell(lines.join('\n')), expected)
    }
  })
