// What `webpack --mode production --entry ./web/page.js --output-path made/webpack` does, without
// the package of its command.

import path from 'node:path'
import { promisify } from 'node:util'
import webpack from 'webpack'

const output = { path: path.resolve('made/webpack') }
const stats = await promisify(webpack)({ mode: 'production', entry: './web/page.js', output })
if (stats.hasErrors()) throw new Error(stats.toString('errors-only'))
