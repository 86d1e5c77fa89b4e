// What all threads of the suite share.

import { address, atomic, i32, locked, published, struct, u32, u64 } from 'percpu'

export const Price = struct('Price', { cents: published(u32) })
export const Root = struct('Root', { current: atomic(address(Price)), turns: atomic(u64) })
export const Account = struct('Account', { balance: locked(i32, 'accounts') })
