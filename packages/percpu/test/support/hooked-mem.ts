/**
 * Stands in for `#mem`: every function calls `control.before` first, which may run another CPU's
 * code there, or end the calling one by throwing. The modules of the library run unchanged. (Loaded
 * by hooked-percpu.ts.)
 */
import * as real from 'percpu/mem'

export const control: {
  /** Called before each access, with the function's name and arguments. */
  before: ((name: string, args: readonly unknown[]) => void) | undefined
  /** Views of threads that were killed: what they wait for never comes. */
  readonly dead: WeakSet<object>
} = { before: undefined, dead: new WeakSet() }

function hooked<Args extends readonly unknown[], Result>(
  name: string,
  access: (...args: Args) => Result,
): (...args: Args) => Result {
  return (...args) => {
    control.before?.(name, args)
    return access(...args)
  }
}

// Not accesses: these pass through.
export {
  awaitUntil,
  canWaitAsync,
  createBuffer,
  interceptWaits,
  isSameMemory,
  openMemory,
  poisonMemory,
} from 'percpu/mem'

const reopened = new WeakMap<object, real.Memory[]>()
export function reopenMemory(memory: real.Memory): real.Memory {
  const others = reopened.get(memory) ?? []
  const other = real.reopenMemory(memory)
  reopened.set(memory, [...others, other])
  return other
}
/** All views through which the thread of a memory accesses it. */
export function viewsOf(memory: real.Memory): object[] {
  return (
    [memory, ...(reopened.get(memory) ?? [])]
      // Those that were taken away throw.
      .flatMap((each) => Object.values(Object.getOwnPropertyDescriptors(each)))
      .map(({ value }): unknown => value)
      .filter((view) => typeof view === 'object' && view !== null)
  )
}

export const load8 = hooked('load8', real.load8)
export const store8 = hooked('store8', real.store8)
export const loadU8 = hooked('loadU8', real.loadU8)
export const storeU8 = hooked('storeU8', real.storeU8)
export const load16 = hooked('load16', real.load16)
export const store16 = hooked('store16', real.store16)
export const loadU16 = hooked('loadU16', real.loadU16)
export const storeU16 = hooked('storeU16', real.storeU16)
export const load32 = hooked('load32', real.load32)
export const store32 = hooked('store32', real.store32)
export const loadU32 = hooked('loadU32', real.loadU32)
export const storeU32 = hooked('storeU32', real.storeU32)
export const loadU64 = hooked('loadU64', real.loadU64)
export const storeU64 = hooked('storeU64', real.storeU64)
export const loadF32 = hooked('loadF32', real.loadF32)
export const storeF32 = hooked('storeF32', real.storeF32)
export const loadF64 = hooked('loadF64', real.loadF64)
export const storeF64 = hooked('storeF64', real.storeF64)
export const loadBig16 = hooked('loadBig16', real.loadBig16)
export const storeBig16 = hooked('storeBig16', real.storeBig16)
export const loadBigU16 = hooked('loadBigU16', real.loadBigU16)
export const storeBigU16 = hooked('storeBigU16', real.storeBigU16)
export const loadBig32 = hooked('loadBig32', real.loadBig32)
export const storeBig32 = hooked('storeBig32', real.storeBig32)
export const loadBigU32 = hooked('loadBigU32', real.loadBigU32)
export const storeBigU32 = hooked('storeBigU32', real.storeBigU32)
export const loadBigU64 = hooked('loadBigU64', real.loadBigU64)
export const storeBigU64 = hooked('storeBigU64', real.storeBigU64)
export const loadBigF32 = hooked('loadBigF32', real.loadBigF32)
export const storeBigF32 = hooked('storeBigF32', real.storeBigF32)
export const loadBigF64 = hooked('loadBigF64', real.loadBigF64)
export const storeBigF64 = hooked('storeBigF64', real.storeBigF64)
export const loadAtomic32 = hooked('loadAtomic32', real.loadAtomic32)
export const storeAtomic32 = hooked('storeAtomic32', real.storeAtomic32)
export const addAtomic32 = hooked('addAtomic32', real.addAtomic32)
export const subAtomic32 = hooked('subAtomic32', real.subAtomic32)
export const andAtomic32 = hooked('andAtomic32', real.andAtomic32)
export const orAtomic32 = hooked('orAtomic32', real.orAtomic32)
export const exchangeAtomic32 = hooked('exchangeAtomic32', real.exchangeAtomic32)
export const compareExchangeAtomic32 = hooked('compareExchangeAtomic32', real.compareExchangeAtomic32)
export const loadAtomicU32 = hooked('loadAtomicU32', real.loadAtomicU32)
export const storeAtomicU32 = hooked('storeAtomicU32', real.storeAtomicU32)
export const addAtomicU32 = hooked('addAtomicU32', real.addAtomicU32)
export const subAtomicU32 = hooked('subAtomicU32', real.subAtomicU32)
export const andAtomicU32 = hooked('andAtomicU32', real.andAtomicU32)
export const orAtomicU32 = hooked('orAtomicU32', real.orAtomicU32)
export const exchangeAtomicU32 = hooked('exchangeAtomicU32', real.exchangeAtomicU32)
export const compareExchangeAtomicU32 = hooked('compareExchangeAtomicU32', real.compareExchangeAtomicU32)
export const loadAtomicU64 = hooked('loadAtomicU64', real.loadAtomicU64)
export const storeAtomicU64 = hooked('storeAtomicU64', real.storeAtomicU64)
export const addAtomicU64 = hooked('addAtomicU64', real.addAtomicU64)
export const subAtomicU64 = hooked('subAtomicU64', real.subAtomicU64)
export const andAtomicU64 = hooked('andAtomicU64', real.andAtomicU64)
export const orAtomicU64 = hooked('orAtomicU64', real.orAtomicU64)
export const exchangeAtomicU64 = hooked('exchangeAtomicU64', real.exchangeAtomicU64)
export const compareExchangeAtomicU64 = hooked('compareExchangeAtomicU64', real.compareExchangeAtomicU64)
export const wait32 = hooked('wait32', real.wait32)
export const waitAsync32 = hooked('waitAsync32', (...args: Parameters<typeof real.waitAsync32>) => {
  const result = real.waitAsync32(...args)
  if (!result.async) return result
  const unlessDead = (resolve: (value: real.WaitResult) => void) =>
    void result.value.then((value) => (control.dead.has(args[0]) ? undefined : resolve(value)))
  return { async: true as const, value: new Promise(unlessDead) }
})
export const notify32 = hooked('notify32', real.notify32)
export const fillBytes = hooked('fillBytes', real.fillBytes)
export const copyIn = hooked('copyIn', real.copyIn)
export const copyOut = hooked('copyOut', real.copyOut)
