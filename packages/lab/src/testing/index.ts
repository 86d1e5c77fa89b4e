/** Explorations in tests, with stored counts. */
export { explorer, type NamedTest, type TestExplore, type TestExploreOptions } from './explorer.js'
