/** How many executions each complete exploration of this folder has: one that has become smaller finds less. */
export const counts: Readonly<Record<string, { readonly executions: number; readonly blocked: number }>> = {
  'adds and folds, killed': { executions: 41, blocked: 0 },
  'folds and adds, killed': { executions: 41, blocked: 0 },
  'goes up and down, killed': { executions: 41, blocked: 0 },
}
