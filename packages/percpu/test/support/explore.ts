/** Explorations of this folder's tests: named by the titles of their tests, with stored counts. */
import { explorer } from 'percpu-lab/testing'

/** `npm run lab:counts` stores the counts. */
export const explore = explorer(
  new URL('../../test/counts.json', import.meta.url),
  new URL('..', import.meta.url),
)
