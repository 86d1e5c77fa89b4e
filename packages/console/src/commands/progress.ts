/** A progress bar on standard error, where that is a terminal; elsewhere nothing. */
import type { SingleBar } from 'cli-progress'

export interface Progress {
  /** `total` 0: unknown. */
  update(value: number, total: number): void
  stop(): void
}

const silent = { update: () => undefined, stop: () => undefined }

/**
 * @param what shown before the bar
 * @param isBeside whether what is printed meanwhile would share its line
 */
export async function bytesProgress(what: string, isBeside = false): Promise<Progress> {
  if (!process.stderr.isTTY || (isBeside && process.stdout.isTTY)) return silent
  const mebibytes = (bytes: number) => Math.round(bytes / 2 ** 20)
  const format = `${what} {bar} {value}/{total} MiB`
  const bar = await barOf(format)
  let started = false
  return {
    update(value, total) {
      if (!started) bar.start(mebibytes(total), 0)
      started = true
      bar.setTotal(Math.max(1, mebibytes(Math.max(total, value))))
      bar.update(mebibytes(value))
    },
    stop() {
      if (started) bar.stop()
    },
  }
}

/** Of something that takes so many ms; `update` is told how many have passed. */
export async function timeProgress(total: number): Promise<{
  readonly update: (passed: number) => void
  readonly stop: () => void
}> {
  if (!process.stderr.isTTY) return silent
  const seconds = (milliseconds: number) => Math.round(Math.min(milliseconds, total) / 1000)
  const bar = await barOf('{bar} {value}/{total} s')
  bar.start(seconds(total), 0)
  return { update: (passed) => bar.update(seconds(passed)), stop: () => bar.stop() }
}

async function barOf(format: string): Promise<SingleBar> {
  const { Presets, SingleBar: Bar } = await import('cli-progress')
  const options = { format, stream: process.stderr, hideCursor: true, clearOnComplete: true }
  return new Bar(options, Presets.shades_classic)
}
