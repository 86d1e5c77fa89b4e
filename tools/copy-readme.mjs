// Runs before `npm pack`, in the folder of a package: gives the package the README of the
// repository.

import { copyFileSync } from 'node:fs'
import path from 'node:path'
import { repositoryRoot } from './lib/cli.mjs'

copyFileSync(path.join(repositoryRoot, 'README.md'), path.join(process.cwd(), 'README.md'))
