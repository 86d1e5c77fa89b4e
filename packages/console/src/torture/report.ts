/** The verdict, for people. */
import type { Counted, TortureResult } from './verdict.js'

/** One line, while it runs. */
export function progressLine(flavour: string, { tally, milliseconds, gracePeriods, kills }: Counted): string {
  const seconds = milliseconds / 1000
  const parts = [
    `${flavour} ${seconds.toFixed(0)} s`,
    `${gracePeriods} grace periods (${(gracePeriods / seconds).toFixed(0)}/s)`,
    `${tally.count('reads')} reads`,
    `${tally.count('versions')} versions`,
    ...(kills > 0 ? [`${kills} kills`] : []),
    ...(tally.hasFailed ? ['FAILED'] : []),
  ]
  return parts.join(', ')
}

export function report(result: TortureResult): string {
  const { counts, options } = result
  const { readers, writers, fakeWriters, seed, fanout, kill, onoff } = options
  const flags = [...(kill ? ['--kill'] : []), ...(onoff ? ['--onoff'] : [])]
  const failures = Object.entries(result.failures).map(([failure, count]) => `${failure} ×${count}`)
  const isTooFar = result.readerPipe.slice(2).some((count) => count > 0)
  const isClose = result.closeCalls > 0
  const lines = [
    `${result.flavour}: ${readers} readers, ${writers} writers, ${fakeWriters} fake writers, fan-out ${fanout}, seed ${seed}${flags.map((flag) => ` ${flag}`).join('')}`,
    `  ${result.gracePeriods} grace periods in ${result.seconds} s (${result.gracePeriodsPerSecond}/s), ${counts.reads} reads, ${counts.versions} versions`,
    `${mark(isTooFar)}Reader Pipe: ${result.readerPipe.join(' ')}`,
    `${mark(isClose)}Reader Batch: ${result.readerBatch.join(' ')}`,
    `${mark((result.freeBlockCirculation.at(-1) ?? 0) > 0)}Free-Block Circulation: ${result.freeBlockCirculation.join(' ')}`,
    `  waits: ${counts.synchronized} synchronize, ${counts.expedited} expedited, ${counts.blocked} blocking, ${counts.polled} polled, ${counts.conditional} conditional`,
    `  callbacks: ${counts.callsPosted} posted, ${counts.callsRun} run, ${result.callbacksLost} lost; ${counts.chained} chains, ${counts.freed} freed, ${counts.barriers} barriers, ${counts.floods} floods of ${counts.flooded}`,
    `  cookies checked: ${counts.cookieChecks}; sections handed over: ${counts.ups}; on deaf CPUs: ${counts.deafReads}; idle stretches: ${counts.stretches}`,
    `  threads: ${result.kills} killed, ${counts.offlines} times offline, ${counts.readExits} read and exited, ${result.pauses} pauses`,
    `  of the killed: ${result.orphans} elements taken back, ${result.lostElements} found`,
    ...result.notes.map((note) => `!!! ${note}`),
    ...result.warnings.map((warning) => `??? ${warning}`),
    `${result.flavour}: ${result.verdict}${failures.length > 0 ? `: ${failures.join(', ')}` : ''}`,
  ]
  return `${lines.join('\n')}\n`
}

function mark(isBad: boolean): string {
  return isBad ? '!!! ' : '  '
}
