/** The litmus files of the package. */
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { parseLitmus, type LitmusTest } from 'percpu-lab/litmus'

const root = path.resolve(import.meta.dirname, '../../litmus')

/** Paths of the files of one folder: `classic`, `atomic`, `rcu` or `srcu`. */
export function litmusFiles(folder: string): string[] {
  return readdirSync(path.join(root, folder))
    .filter((name) => name.endsWith('.litmus'))
    .sort()
    .map((name) => path.join(root, folder, name))
}
export function litmusTest(folder: string, name: string): LitmusTest {
  return parseLitmus(readFileSync(path.join(root, folder, `${name}.litmus`), 'utf8'))
}
