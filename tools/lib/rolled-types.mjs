// Joins the declarations of percpu: a compiler that checks a program reads one file instead of
// hundreds. What lies behind `#mem`, and the errors that all others extend, stay files of their
// own, as their code does.

import path from 'node:path'
import { rollup } from 'rollup'
import { dts } from 'rollup-plugin-dts'

/** Resolves with the text of the declarations of the package in `folder`, which is compiled. */
export async function rollTypes(folder) {
  const bundle = await rollup({
    input: path.join(folder, 'dist/index.d.ts'),
    external: ['#mem', path.resolve(folder, 'dist/errors.d.ts')],
    plugins: [dts()],
    onwarn(warning) {
      throw new Error(`declarations: ${warning.message}`)
    },
  })
  try {
    const { output } = await bundle.generate({ format: 'es' })
    return `/// <reference lib="esnext.disposable" preserve="true" />\n${output[0].code}`
  } finally {
    await bundle.close()
  }
}
