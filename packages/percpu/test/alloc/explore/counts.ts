/** How many executions each complete exploration of this folder has: one that has become smaller finds less. */
export const counts: Readonly<Record<string, { readonly executions: number; readonly blocked: number }>> = {
  'link and unlink, 0 killed': { executions: 278, blocked: 0 },
  'link and unlink, 1 killed': { executions: 135, blocked: 0 },
  'pages, 0 killed': { executions: 201, blocked: 0 },
  'pages, 1 killed': { executions: 405, blocked: 0 },
  'take and give, 0 killed': { executions: 151, blocked: 0 },
  'take and give, 1 killed': { executions: 319, blocked: 0 },
}
