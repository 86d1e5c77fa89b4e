import { showAs } from '../../inspect.js'
import { ViewEndedError } from '../errors.js'
import type { Shape } from './node.js'
import { RangeReader, type Pin } from './reader.js'
import type { Finder } from './search.js'

/** One version of a map of ranges, until the callback ends which was given it. */
export class RangeView<K, V> extends RangeReader<K, V> {
  static {
    showAs<{ readonly size: number }>(this, ({ size }) => ({ size }))
  }

  readonly #pin: Pin
  readonly #isOpen: () => boolean

  /** @internal */
  constructor(shape: Shape<K, V>, finder: Finder<K>, pin: Pin, isOpen: () => boolean) {
    super(shape, finder)
    this.#pin = pin
    this.#isOpen = isOpen
  }

  /** @internal */
  protected present(): number {
    if (this.#isOpen() && this.#pin.isValid()) return this.#pin.version
    throw new ViewEndedError('this view of a map of ranges has ended: use it inside its callback', {})
  }
  /** @internal */
  protected pin(): Pin {
    const version = this.present()
    return { version, isValid: () => this.present() === version }
  }
}
