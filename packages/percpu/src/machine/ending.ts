/** The end of `using` blocks. */
import { OfflineError } from './errors.js'

/**
 * Ends something at the end of its `using` block. What a CPU holds ends with it: once it is offline
 * there is nothing left to do.
 */
export function endUnlessOffline(end: () => void): void {
  try {
    end()
  } catch (error) {
    if (!(error instanceof OfflineError)) throw error
  }
}
