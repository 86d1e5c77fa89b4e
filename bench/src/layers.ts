/**
 * The benchmark files, in the order of the report. Each is `bench/src/<name>.ts` and exports
 * `suites`.
 */
export const layers = [
  'start',
  'mem',
  'layout',
  'machine',
  'vpa',
  'sync',
  'alloc',
  'percpu',
  'rcu',
  'map',
  'map-names',
  'map-threads',
  'ring',
  'range',
  'paging',
  'table',
  'command',
  'serve',
  'tables',
  'lab',
  'limits',
] as const
export type LayerName = (typeof layers)[number]
