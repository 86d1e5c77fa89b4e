import js from '@eslint/js'
import { defineConfig, globalIgnores } from 'eslint/config'
import globals from 'globals'
import ts from 'typescript-eslint'
import { commentWidth } from './tools/eslint/comment-width.mjs'
import { noSharedViews } from './tools/eslint/no-shared-views.mjs'

/** Folders whose comments are wrapped. */
const wrapped = [
  'packages/percpu',
  'packages/console',
  'packages/lab',
  'bench',
  'examples',
  'runtimes',
  'tools',
]

const emptyCatch = {
  selector: 'CatchClause[body.body.length=0]',
  message: 'Handle the error, or let it through.',
}

export default defineConfig(
  globalIgnores([
    '**/built/',
    '**/dist/',
    '**/dist-test/',
    'reference/',
    'packages/*/docs/',
    'packages/*/examples/',
  ]),
  js.configs.recommended,
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      eqeqeq: ['error', 'always'],
      'no-empty': ['error', { allowEmptyCatch: false }],
      'no-restricted-syntax': ['error', emptyCatch],
      'no-var': 'error',
      'object-shorthand': 'error',
      'prefer-const': 'error',
    },
  },
  {
    // Tools, examples and other JavaScript.
    files: ['**/*.{js,mjs}'],
    languageOptions: { globals: globals.node },
    rules: { 'no-unused-vars': ['error', { args: 'after-used', caughtErrors: 'all' }] },
  },
  {
    // Scripts of pages.
    files: ['packages/{lab,console}/page/*.js'],
    languageOptions: { globals: globals.browser },
  },
  {
    // Programs for several runtimes.
    files: ['runtimes/{suite,web,programs}/*'],
    languageOptions: { globals: { ...globals.node, ...globals.worker, ...globals.jest } },
  },
  {
    files: ['**/*.ts'],
    extends: [ts.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/consistent-type-imports': [
        'error',
        { fixStyle: 'inline-type-imports', disallowTypeAnnotations: false },
      ],
      '@typescript-eslint/no-confusing-void-expression': [
        'error',
        { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true },
      ],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { args: 'after-used', caughtErrors: 'all', ignoreRestSiblings: true },
      ],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      // Loops that end by break or return.
      '@typescript-eslint/no-unnecessary-condition': [
        'error',
        { allowConstantLoopConditions: 'only-allowed-literals' },
      ],
    },
  },
  {
    // The runner of node:test awaits its own tests.
    files: ['**/*.test.ts'],
    rules: {
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: 'node:test', name: ['test', 'it', 'describe', 'suite'] },
          ],
        },
      ],
    },
  },
  {
    // The library is silent, and runs where there is no Node.
    files: ['packages/percpu/src/**/*.ts'],
    rules: { 'no-console': 'error' },
  },
  {
    // Shared memory is touched only through `#mem`. The views of a Memory are opaque types, so
    // element access outside the mem layer is a type error already; these rules keep out the rest.
    files: ['packages/percpu/src/**/*.ts'],
    ignores: ['packages/percpu/src/mem/**'],
    plugins: { percpu: { rules: { 'no-shared-views': noSharedViews } } },
    rules: {
      'no-restricted-globals': ['error', { name: 'Atomics', message: 'Use the functions of #mem.' }],
      'no-restricted-properties': [
        'error',
        { object: 'globalThis', property: 'Atomics', message: 'Use the functions of #mem.' },
      ],
      'no-restricted-syntax': [
        'error',
        emptyCatch,
        { selector: 'NewExpression[callee.name="SharedArrayBuffer"]', message: 'Use createBuffer of #mem.' },
      ],
      'percpu/no-shared-views': 'error',
    },
  },
  {
    files: wrapped.map((folder) => `${folder}/**/*.{ts,js,mjs}`),
    plugins: { prose: { rules: { 'comment-width': commentWidth } } },
    rules: { 'prose/comment-width': 'error' },
  },
)
