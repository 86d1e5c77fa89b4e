/** What the commands need to know of the service, without loading it. */

/** Name of the table: its maps begin with it. */
export const TABLE_NAME = 'asn'

/**
 * Possible CPUs beside those of workers and of threads that accept connections: this thread, a
 * loader, and a few for threads that are being replaced.
 */
export const SPARE_CPUS = 6

/** How long a thread may give no sign of life before it is replaced. */
export const PATIENCE_MILLISECONDS = 5000
/** How long requests in flight may take when the service stops, and then the workers' ends. */
export const STOP_MILLISECONDS = 10_000
