/**
 * The properties of accessors outside of sections: those of scalar-properties.ts, whose setters
 * refuse what is not of the field's type first. A typed array would convert it, or throw.
 */
import type { AnyProperty, Property } from './scalar-properties.js'
import type { Scalar } from './types.js'
import { notA } from './values.js'

export function checked<Self>(property: AnyProperty<Self>, { name }: Scalar): PropertyDescriptor {
  return name === 'u64'
    ? checkedBigInt(property as Property<Self, bigint>)
    : checkedNumber(property as Property<Self, number>)
}

// Two, as an engine checks a type fast that the code names.
function checkedNumber<Self>({ get, set }: Property<Self, number>): PropertyDescriptor {
  const write = set
  return {
    get,
    set(this: Self, value: number) {
      if (typeof value !== 'number') throw notA('number', value)
      write.call(this, value)
    },
  }
}
function checkedBigInt<Self>({ get, set }: Property<Self, bigint>): PropertyDescriptor {
  const write = set
  return {
    get,
    set(this: Self, value: bigint) {
      if (typeof value !== 'bigint') throw notA('bigint', value)
      write.call(this, value)
    },
  }
}
