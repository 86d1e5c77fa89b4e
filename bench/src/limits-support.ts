/** What the suites of limits share. */
import { join, type BootOptions, type Machine } from 'percpu'
import type { Measure } from './harness/suite.js'

/** Rounds in which a row is measured: each takes long, and the best one counts anyway. */
const MOST = 3

/** As the operation, which is measured at most {@link MOST} times in all; afterwards the best. */
export function few(measure: () => number | Promise<number>): Measure {
  const values: number[] = []
  return async () => {
    if (values.length < MOST) values.push(await measure())
    return Math.min(...values)
  }
}

/** Milliseconds that `operation` takes with what `prepare` makes, once. */
export function once<Made>(
  prepare: () => Made,
  operation: (made: Made) => unknown,
  after: (made: Made) => unknown = () => undefined,
): Measure {
  return few(async () => {
    const made = prepare()
    const start = process.hrtime.bigint()
    await operation(made)
    const time = Number(process.hrtime.bigint() - start) / 1e6
    await after(made)
    return time
  })
}

/** Another CPU of this thread's, as if it were another thread's. */
export function joinAs(machine: Machine, thread: number): Machine {
  const asThread = { doorbell: 'waitAsync', thread } as const
  return join(machine.handle, asThread)
}

export const LARGEST: BootOptions = { memory: '8 GiB', cpus: 256, nodes: 8 }

/** Takes all pages of the nodes below `end`. */
export function fillNodes(machine: Machine, nodeBytes: number, end: number): void {
  const { pages } = machine.heap
  for (let node = 0; node < end; node++)
    for (const order of [10, 8, 6, 4, 2, 0])
      for (;;) {
        const address = pages.tryAlloc(order, { node })
        if (address === undefined) break
        if (Math.floor(address / nodeBytes) === node) continue
        pages.free(address, order)
        break
      }
}
