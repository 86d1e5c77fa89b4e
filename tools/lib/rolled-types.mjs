// Joins the declarations of percpu: a compiler that checks a program reads one file instead of
// hundreds. What lies behind `#mem` stays a file of its own, as its code does.

import path from 'node:path'
import { rollup } from 'rollup'
import { dts } from 'rollup-plugin-dts'

/** Resolves with the text of the declarations of the package in `folder`, which is compiled. */
export async function rollTypes(folder) {
  const bundle = await rollup({
    input: path.join(folder, 'dist/index.d.ts'),
    external: ['#mem'],
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
