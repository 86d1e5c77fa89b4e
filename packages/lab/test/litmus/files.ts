/** The litmus files of the package. */
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { parseLitmus, type LitmusTest } from 'percpu-lab/litmus'

const root = path.resolve(import.meta.dirname, '../../litmus')

export const litmusFolders = ['classic', 'atomic', 'rcu', 'srcu', 'races', 'membarrier'] as const

/** Paths of the files of one of the {@link litmusFolders}. */
export function litmusFiles(folder: string): string[] {
  return readdirSync(path.join(root, folder))
    .filter((name) => name.endsWith('.litmus'))
    .sort()
    .map((name) => path.join(root, folder, name))
}
export function litmusTest(folder: string, name: string): LitmusTest {
  return parseLitmus(readFileSync(path.join(root, folder, `${name}.litmus`), 'utf8'))
}
