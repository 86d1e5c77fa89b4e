import { showAs } from '../inspect.js'
import { fillDraft } from '../layout/draft.js'
import { checkFixed } from '../layout/flexible.js'
import type { Accessor, Draft, Fields, Kind, Struct } from '../layout/index.js'
import { checkFunction, checkStruct } from '../machine/check.js'
import type { LayerContext } from './layer.js'
import type { CreateSpec, ObjectInfo } from './directory.js'
import type { Names } from './names.js'
import { ofThisThread } from '../unsendable.js'

/**
 * `machine.objects`: named objects, by which threads that know only a name find the same memory.
 * They have a name space of their own. Object and name take memory of the heap; there may be
 * millions.
 *
 * Cost: looking a name up takes some microseconds, however many there are.
 */
export class Objects {
  static {
    showAs(this, (objects) => ({ names: objects.#names.count('object') }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  readonly #context: LayerContext

  /** @internal */
  constructor(context: LayerContext) {
    this.#context = context
  }

  /**
   * Makes an object of this struct under a name, once and for all threads. All its words are 0
   * until `init` fills it, before any other thread can find it; its locked fields have setters
   * there. If `init` throws, there is no object.
   *
   * `name`: 1 to 56 bytes of UTF-8.
   *
   * @throws ObjectExistsError; OutOfMemoryError; ArgumentError; OfflineError; LockTimeoutError as
   *   `heap.alloc`; what `init` throws.
   */
  create<F extends Fields, K extends Kind>(
    name: string,
    type: Struct<F, K>,
    init?: (object: Draft<Struct<F, K>>) => void,
  ): Accessor<Struct<F, K>> {
    return this.#at(type, this.#names.create('object', name, this.#spec(type, init)).address)
  }

  /**
   * The object that some thread created under this name.
   *
   * @throws ObjectMissingError; ObjectMismatchError if its struct has another name or layout;
   *   ArgumentError; OfflineError.
   */
  open<F extends Fields, K extends Kind>(name: string, type: Struct<F, K>): Accessor<Struct<F, K>> {
    return this.#at(type, this.#names.open('object', name, this.#spec(type)).address)
  }

  /**
   * Opens the object, or creates it if it does not exist. Of several threads that call it at once,
   * one creates.
   *
   * @throws ObjectMismatchError; OutOfMemoryError; ArgumentError; OfflineError; LockTimeoutError as
   *   `heap.alloc`; what `init` throws.
   */
  openOrCreate<F extends Fields, K extends Kind>(
    name: string,
    type: Struct<F, K>,
    init?: (object: Draft<Struct<F, K>>) => void,
  ): Accessor<Struct<F, K>> {
    return this.#at(type, this.#names.openOrCreate('object', name, this.#spec(type, init)).address)
  }

  /**
   * Takes the name away: it is free again, and nobody finds the object any more. The object is
   * freed after a grace period, so that a synchronous stretch which has just found it may use it to
   * its end. The caller sees to it that no thread uses it after that.
   *
   * @throws ObjectMissingError; ArgumentError; OfflineError; LockTimeoutError as `heap.alloc`.
   */
  remove(name: string): void {
    this.#names.remove('object', name)
  }

  /** All named objects, newest first. @throws OfflineError. */
  list(): ObjectInfo[] {
    return [...this.#names.each('object')]
      .sort((one, other) => (other.serial - one.serial) | 0)
      .map(({ name, type, address, size, layoutHash }) => ({ name, type, address, size, layoutHash }))
  }

  get #names(): Names {
    this.#context.own.assertOnline()
    return this.#context.names
  }

  #spec<F extends Fields, K extends Kind>(
    type: Struct<F, K>,
    init?: (object: Draft<Struct<F, K>>) => void,
  ): CreateSpec {
    checkStruct('type', type)
    checkFixed(type)
    const spec = { type: type.name, layout: type }
    if (init === undefined) return spec
    checkFunction('init', init)
    return { ...spec, init: (address) => fillDraft(type, this.#context.own.memory, address, init) }
  }

  #at<F extends Fields, K extends Kind>(type: Struct<F, K>, address: number): Accessor<Struct<F, K>> {
    return type.at(this.#context.own.memory, address)
  }
}
