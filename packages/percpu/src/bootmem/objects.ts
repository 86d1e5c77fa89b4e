import { fillDraft } from '../layout/draft.js'
import type { Accessor, Draft, Fields, Kind, Struct } from '../layout/index.js'
import { checkFunction, checkStruct } from '../machine/check.js'
import type { LayerContext } from './layer.js'
import { checkUserName, type CreateSpec, type ObjectInfo } from './directory.js'
import { showAs } from '../inspect.js'

/**
 * `machine.objects`: named objects, by which threads that know only a name find the same memory.
 * They are for few, long-lived roots: a name is never removed, and looking it up scans all of them.
 */
export class Objects {
  static {
    showAs(this, (objects) => ({ names: objects.list().length }))
  }

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
   * `name`: 1 to 56 bytes of UTF-8, not beginning with `percpu.`.
   *
   * @throws ObjectExistsError; OutOfMemoryError; ArgumentError; OfflineError; what `init` throws.
   */
  create<F extends Fields, K extends Kind>(
    name: string,
    type: Struct<F, K>,
    init?: (object: Draft<Struct<F, K>>) => void,
  ): Accessor<Struct<F, K>> {
    checkUserName(name)
    return this.#at(type, this.#directory.create(name, this.#spec(type, init)))
  }

  /**
   * The object that some thread created under this name.
   *
   * @throws ObjectMissingError; ObjectMismatchError if its struct has another name or layout;
   *   ArgumentError; OfflineError.
   */
  open<F extends Fields, K extends Kind>(name: string, type: Struct<F, K>): Accessor<Struct<F, K>> {
    return this.#at(type, this.#directory.open(name, this.#spec(type)))
  }

  /**
   * Opens the object, or creates it if it does not exist. Of several threads that call it at once,
   * one creates.
   *
   * @throws ObjectMismatchError; OutOfMemoryError; ArgumentError; OfflineError; what `init` throws.
   */
  openOrCreate<F extends Fields, K extends Kind>(
    name: string,
    type: Struct<F, K>,
    init?: (object: Draft<Struct<F, K>>) => void,
  ): Accessor<Struct<F, K>> {
    checkUserName(name)
    return this.#at(type, this.#directory.openOrCreate(name, this.#spec(type, init)))
  }

  /** All named objects of users, newest first. @throws OfflineError. */
  list(): ObjectInfo[] {
    return this.#directory.list()
  }

  get #directory(): LayerContext['objects'] {
    this.#context.own.assertOnline()
    return this.#context.objects
  }

  #spec<F extends Fields, K extends Kind>(
    type: Struct<F, K>,
    init?: (object: Draft<Struct<F, K>>) => void,
  ): CreateSpec {
    checkStruct('type', type)
    const spec = { type: type.name, layout: type }
    if (init === undefined) return spec
    checkFunction('init', init)
    return { ...spec, init: (address) => fillDraft(type, this.#context.own.memory, address, init) }
  }

  #at<F extends Fields, K extends Kind>(type: Struct<F, K>, address: number): Accessor<Struct<F, K>> {
    return type.at(this.#context.own.memory, address)
  }
}
