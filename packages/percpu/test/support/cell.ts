import { atomic, i32, struct } from 'percpu'

/** A named object with one atomic word, for tests of the directory. */
export const Cell = struct('Cell', { value: atomic(i32) })
