/**
 * The words of a shared ring.
 *
 *     buffer   … free │ message │ message │ message │ being written │ free …
 *                     ▲ head                        ▲ tail
 *     message  its bytes, in one word │ its words; behind the buffer's last word comes its first
 *
 * A sender has the senders' lock. It copies its message behind the tail, where nobody reads, and
 * then moves the tail. A receiver has the receivers' lock. It copies the message at the head, and
 * then moves the head. So senders and receivers do not wait for each other, and each message is
 * there as a whole or not at all.
 *
 *     head, tail   positions in words, from 0 up to a multiple of the capacity, then from 0 again
 *     tail         twice the position, and 1 if the ring is closed
 *
 * One word says where the messages end and whether more may come. So closing is one operation that
 * cannot fail, and whoever finds the ring closed and empty knows that it stays so.
 *
 * *Death.* Who dies before it has moved tail or head has changed nothing; after it, all is done.
 * The reaper frees the lock (layer.ts).
 *
 * *Why locks.* Without them senders claim their places first and fill them afterwards, in any
 * order (Vyukov, "Bounded MPMC queue", 2010). A sender that is killed or stopped in between leaves
 * a gap, in front of which all receivers wait; who fills it for the dead cannot know how far it
 * came. Rings without locks and without gaps have one sender and one receiver, as ringbuf.js and
 * those of io_uring. Here two atomic operations buy any number of both.
 *
 * *Why positions may begin anew.* Senders and receivers compare them under their locks, where they
 * are less than the capacity apart. Others only look whether both are the same, the head first: if
 * so, the ring was empty at that moment, unless a whole round of positions went by between two
 * loads. That is 2^28 words at least; and who waits is rung by each message of them.
 *
 * Who may write. Words between tail and head: who has the senders' lock. `tail`: that one; and
 * whoever closes. `head`: who has the receivers' lock.
 */
import {
  aligned,
  array,
  atomic,
  i32,
  locked,
  owner,
  published,
  racy,
  struct,
  u32,
} from '../../layout/index.js'
import { MASK_WORDS } from '../../machine/limits.js'
import { SpinlockLayout } from '../../sync/layouts.js'
import { CollectionHead } from '../presence.js'

/** Most bytes of a ring. */
export const MAX_BYTES = 2 ** 30

/**
 * Begins a ring's named object; its buffer follows. What senders write, receivers write, and both
 * read lies on lines of its own.
 */
export const RingRoot = struct(
  'RingRoot',
  {
    collection: CollectionHead,
    /** What its messages are: options.ts. */
    kind: published(u32),
    structHash: published(u32),
    /** Words of its buffer. */
    capacity: published(u32),
    /** CPUs that wait for a message, and for room; a bit each. wait.ts */
    receivers: aligned(array(atomic(i32), MASK_WORDS), 'cacheline'),
    senders: array(atomic(i32), MASK_WORDS),

    sendLock: aligned(SpinlockLayout, 'cacheline'),
    /** Where the head was found last: there is at least so much room. */
    headSeen: locked(i32, 'sendLock'),
    /** How many messages were sent: count.ts. */
    sent: racy(array(i32, 4)),
    tail: aligned(atomic(i32), 'cacheline'),

    receiveLock: aligned(SpinlockLayout, 'cacheline'),
    /** Where the tail was found last: up to there are messages. */
    tailSeen: locked(i32, 'receiveLock'),
    received: racy(array(i32, 4)),
    head: aligned(atomic(i32), 'cacheline'),
  },
  { align: 64 },
)

/** One a CPU, for all rings: it uses one at a time. */
export const RingNote = struct(
  'RingNote',
  {
    /** Word index of the lock that it has, or is about to take, or 0. layer-lock.ts */
    lock: owner(u32),
    /** The journal of layer-lock.ts, which is never used here. */
    journal: owner(u32),
  },
  { align: 64, maxSize: 64 },
)
