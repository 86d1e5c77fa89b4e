/** Errors are recognised by every copy of the package that a program may have loaded. */
import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import {
  ArgumentError,
  boot,
  OfflineError,
  OutOfMemoryError,
  PercpuError,
  type PercpuErrorCode,
} from 'percpu'

/** Another copy of the package: its classes are others. */
async function loadCopy(): Promise<Pick<typeof import('percpu'), 'PercpuError' | 'ArgumentError'>> {
  const folder = mkdtempSync(path.join(tmpdir(), 'percpu-copy-'))
  try {
    const skipped = /[\\/](src|test|dist-test|node_modules)$|\.map$|\.d\.ts$/
    cpSync(fileURLToPath(new URL('../../', import.meta.url)), folder, {
      recursive: true,
      filter: (source) => !skipped.test(source),
    })
    return (await import(pathToFileURL(path.join(folder, 'dist/index.js')).href)) as typeof import('percpu')
  } finally {
    rmSync(folder, { recursive: true })
  }
}
const copy = await loadCopy()

function thrown(): unknown {
  try {
    boot({ cpus: 0 })
  } catch (error) {
    return error
  }
  return assert.fail('nothing was thrown')
}

describe('an error', () => {
  it('is an instance of its class and those above it, in every copy', () => {
    const error = thrown()
    assert.notEqual(copy.ArgumentError, ArgumentError)
    for (const type of [Error, PercpuError, ArgumentError, copy.PercpuError, copy.ArgumentError])
      assert.ok(error instanceof type, type.name)
    assert.ok(new copy.ArgumentError('from the copy') instanceof ArgumentError)
  })

  it('is none of another class', () => {
    assert.ok(!(thrown() instanceof OfflineError))
    for (const other of [new RangeError('other'), { code: 'PERCPU_ARGUMENT' }, null, undefined, 5, 'text'])
      assert.ok(
        !((other as unknown) instanceof PercpuError) && !((other as unknown) instanceof OutOfMemoryError),
      )
  })
})

const codePattern = /'(PERCPU_[A-Z_]+)'/g
const inSource = (folder: string): string[] => {
  const root = new URL(`../../../${folder}/src/`, import.meta.url)
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  )
  const texts = files.map((file) => readFileSync(new URL(file, root), 'utf8'))
  return texts.flatMap((text) =>
    [...text.matchAll(/readonly code = '(PERCPU_[A-Z_]+)'/g)].map(([, code = '']) => code),
  )
}
const declared = [...inSource('percpu'), ...inSource('console')].sort()

describe('the code of an error', () => {
  it('is that of one class, and documented', () => {
    const page = readFileSync(new URL('../../../../docs/errors.md', import.meta.url), 'utf8')
    const rows = page.split('\n').filter((line) => /^\| `PERCPU_/.test(line))
    const documented = rows.flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`(PERCPU_[A-Z_]+)`/g)])
    assert.deepEqual(documented.map(([, code = '']) => code).sort(), declared)
    assert.equal(new Set(declared).size, declared.length)
  })
  it('is one of the type that programs switch on', () => {
    const source = readFileSync(new URL('../../src/errors.ts', import.meta.url), 'utf8')
    const union = /type PercpuErrorCode =([^/]*)/.exec(source)?.[1] ?? ''
    assert.deepEqual([...union.matchAll(codePattern)].map(([, code = '']) => code).sort(), declared)
  })
  it('narrows', () => {
    const tell = (error: PercpuError): string => {
      switch (error.code) {
        case 'PERCPU_OFFLINE':
          return 'join again'
        case 'PERCPU_ARGUMENT':
          return 'an argument'
        default:
          return error.code satisfies PercpuErrorCode
      }
    }
    assert.equal(tell(thrown() as PercpuError), 'an argument')
  })
})
