/** Tells when files of tables have changed, also when they were replaced by renaming. */
import { watch, type FSWatcher } from 'chokidar'
import type { Logger } from 'pino'

/** A change is told when the file has been still for so long. */
const STABLE_MILLISECONDS = 300

export interface FileWatchOptions {
  readonly logger: Pick<Logger, 'warn'>
  /** Called with the path as it was given. */
  readonly changed: (file: string) => void
}

/**
 * It keeps no process running. What is about to be watched when it is closed would do so for ever.
 */
export class FileWatch {
  /** Resolves when every change from now on is told, or when it is closed. */
  readonly ready: Promise<void>
  readonly #watcher: FSWatcher
  #isReady: () => void = () => undefined

  constructor(files: readonly string[], { logger, changed }: FileWatchOptions) {
    this.#watcher = watch([...files], {
      persistent: false,
      ignoreInitial: true,
      awaitWriteFinish: { stabilityThreshold: STABLE_MILLISECONDS, pollInterval: 50 },
    })
      .on('change', changed)
      .on('add', changed)
      .on('unlink', (file) => logger.warn({ file }, 'the file of a table was removed; the table stays'))
      .on('error', (error) => logger.warn({ err: error }, 'watching the files failed; SIGHUP still reloads'))
    this.ready = new Promise((resolve) => {
      this.#isReady = resolve
      this.#watcher.once('ready', resolve)
    })
  }

  async close(): Promise<void> {
    this.#isReady()
    await this.#watcher.close()
  }
}
