/** A progress bar on standard error, where that is a terminal; elsewhere nothing. */
import { Presets, SingleBar } from 'cli-progress'

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
export function bytesProgress(what: string, isBeside = false): Progress {
  if (!process.stderr.isTTY || (isBeside && process.stdout.isTTY)) return silent
  const mebibytes = (bytes: number) => Math.round(bytes / 2 ** 20)
  const format = `${what} {bar} {value}/{total} MiB`
  const bar = new SingleBar(
    { format, stream: process.stderr, hideCursor: true, clearOnComplete: true },
    Presets.shades_classic,
  )
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
export function timeProgress(total: number): {
  readonly update: (passed: number) => void
  readonly stop: () => void
} {
  if (!process.stderr.isTTY) return silent
  const seconds = (milliseconds: number) => Math.round(Math.min(milliseconds, total) / 1000)
  const bar = new SingleBar(
    { format: '{bar} {value}/{total} s', stream: process.stderr, hideCursor: true, clearOnComplete: true },
    Presets.shades_classic,
  )
  bar.start(seconds(total), 0)
  return { update: (passed) => bar.update(seconds(passed)), stop: () => bar.stop() }
}
