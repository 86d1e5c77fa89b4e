/** A domain in debug mode: its functions, with those of srcu-debug.ts around them. */
import { checkFunction } from '../machine/check.js'
import type { WaitOptions } from '../machine/wait-options.js'
import type { SrcuDebug } from './srcu-debug.js'
import type { Srcu } from './srcu.js'

type Wait = (options?: WaitOptions) => Promise<void>

/** Replaces the functions of this domain. Returns the domain. */
export function debugged(domain: Srcu, debug: SrcuDebug): Srcu {
  const plain = {
    readLock: domain.readLock.bind(domain),
    readUnlock: domain.readUnlock.bind(domain),
    downRead: domain.downRead.bind(domain),
    upRead: domain.upRead.bind(domain),
    synchronizeBlocking: domain.synchronizeBlocking.bind(domain),
    barrierBlocking: domain.barrierBlocking.bind(domain),
    cleanup: domain.cleanup.bind(domain),
  }
  // A domain that was cleaned up has another function in this place, which throws.
  const lock = (): number => (domain.readLock === functions.readLock ? plain.readLock() : domain.readLock())
  const functions = {
    readLock: () => debug.begun(domain, plain.readLock(), functions.readLock).token,
    readUnlock: (token: number): void => {
      debug.end(domain, token, functions.readUnlock, plain.readUnlock)
    },
    downRead: () => debug.handedOver(domain, plain.downRead(), functions.downRead),
    upRead: (token: number): void => {
      debug.endHandedOver(domain, token, plain.upRead)
    },
    section: () => debug.guard(debug.begun(domain, lock(), functions.section)),
    protect: async <Result>(work: () => Promise<Result> | Result): Promise<Result> => {
      checkFunction('work', work)
      const section = debug.begun(domain, lock(), functions.protect, true)
      try {
        return await debug.run(section, work)
      } finally {
        domain.readUnlock(section.token)
      }
    },
    synchronizeBlocking: (options?: WaitOptions): void => {
      debug.block(domain, functions.synchronizeBlocking)
      plain.synchronizeBlocking(options)
    },
    barrierBlocking: (options?: WaitOptions): void => {
      debug.block(domain, functions.barrierBlocking)
      plain.barrierBlocking(options)
    },
    cleanup: async (options?: WaitOptions): Promise<void> => {
      await plain.cleanup(options)
      debug.forgetDomain(domain)
    },
  }
  // Configurable: a domain that was cleaned up refuses.
  for (const [name, value] of Object.entries(functions))
    Object.defineProperty(domain, name, { value, configurable: true })
  for (const name of ['synchronize', 'synchronizeExpedited', 'barrier'])
    replaceWait(domain as unknown as Record<string, unknown>, name, (wait) => {
      const around: Wait = (options) => debug.wait(domain, around, () => wait(options))
      return around
    })
  return domain
}

function replaceWait(domain: Record<string, unknown>, name: string, make: (wait: Wait) => Wait): void {
  const wait = domain[name]
  if (typeof wait === 'function')
    Object.defineProperty(domain, name, { value: make(wait.bind(domain) as Wait), configurable: true })
}
