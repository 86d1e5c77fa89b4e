/** Gauges that are read when they are asked for. */
import { Gauge, type Registry } from 'prom-client'

/** `read` sets it, for each scrape. */
export function addGauge<Label extends string>(
  registry: Registry,
  name: string,
  help: string,
  labelNames: Label[],
  read: (gauge: Gauge<Label>) => void,
): void {
  new Gauge({
    name,
    help,
    labelNames,
    registers: [registry],
    collect() {
      read(this)
    },
  })
}
