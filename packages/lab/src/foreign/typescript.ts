/**
 * TypeScript's parser. It is required, not imported: Node looks for the names that an imported file
 * of CommonJS exports, which takes longer than it takes to run this one.
 */
// eslint-disable-next-line @typescript-eslint/no-require-imports -- says why above
import ts = require('typescript')

export { ts }
