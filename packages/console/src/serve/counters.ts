/** What several threads have counted, as one. */
import { AggregatorRegistry, type Registry } from 'prom-client'

/** What a thread has counted, in the form in which it can be added to that of others. */
export type CollectedMetrics = Awaited<ReturnType<Registry['getMetricsAsJSON']>>

/** The sum of what several threads have counted, as Prometheus takes it. */
export async function metricsText(collected: readonly CollectedMetrics[]): Promise<string> {
  return AggregatorRegistry.aggregate([...collected]).metrics()
}

/** The sum of a counter's values, of those whose labels are as in `labels`. */
export function sumOf(
  collected: CollectedMetrics,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  const metric = collected.find((candidate) => candidate.name === name)
  const wanted = Object.entries(labels)
  return (metric?.values ?? [])
    .filter((value) => wanted.every(([label, text]) => value.labels[label] === text))
    .reduce((sum, { value }) => sum + value, 0)
}
