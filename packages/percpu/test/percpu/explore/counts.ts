/** How many executions each complete exploration of this folder has: one that has become smaller finds less. */
export const counts: Readonly<Record<string, { readonly executions: number; readonly blocked: number }>> = {
  'adds and folds, killed': { executions: 47, blocked: 0 },
  'folds and adds, killed': { executions: 47, blocked: 0 },
  'goes up and down, killed': { executions: 47, blocked: 0 },
  'read, read and write': { executions: 266, blocked: 0 },
  'write and read': { executions: 71, blocked: 0 },
  'read, killed, and write': { executions: 2574, blocked: 0 },
  'write, killed, and write': { executions: 5902, blocked: 0 },
  'use, use and destroy': { executions: 211, blocked: 0 },
  'use, count apart and destroy': { executions: 416, blocked: 0 },
  'use and destroy, killed': { executions: 845, blocked: 0 },
  'use and count apart, killed': { executions: 975, blocked: 0 },
}
