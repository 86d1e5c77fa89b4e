/**
 * The segments of a list of callbacks: which of them may run, and for which grace periods the
 * others wait. (After the kernel's rcu_segcblist. There the segments are pointers into a linked
 * list; here they are positions of a queue that is never rearranged.)
 *
 *     head ──DONE──▶ done ──WAIT──▶ wait ──NEXT_READY──▶ nextReady ──NEXT──▶ tail
 *                           waitCookie      nextReadyCookie
 *
 *     DONE         their grace period has ended: they may run
 *     WAIT         wait for the grace period of waitCookie
 *     NEXT_READY   wait for that of nextReadyCookie, a later one
 *     NEXT         have no cookie yet
 *
 * Order: callbacks stay in the order in which they were queued, and cookies only grow from one
 * segment to the next. So whatever may run lies at the head.
 *
 * Nothing is stranded. After {@link accelerate} no callback is without a cookie. Take the cookie
 * *before* {@link advance}. Then at most two cookies are not done, and the newest callbacks join
 * those of an equal cookie. With a cookie that is later than both, they and NEXT_READY wait for
 * that one: too long, never too short.
 *
 * Positions and cookies may wrap around. All positions lie within the 2^31 that follow `head`, and
 * are compared by equality only. Cookies are compared by the grace periods whose they are.
 */
export interface Segments {
  done: number
  wait: number
  nextReady: number
  waitCookie: number
  nextReadyCookie: number
}

/** No callbacks: all segments begin and end at `position`. */
export function emptySegments(position: number): Segments {
  return { done: position, wait: position, nextReady: position, waitCookie: 0, nextReadyCookie: 0 }
}

/** What has a cookie that is done may run. Returns whether anything changed. */
export function advance(segments: Segments, isDone: (cookie: number) => boolean): boolean {
  if (segments.wait === segments.done || !isDone(segments.waitCookie)) return false
  segments.done = segments.wait
  if (segments.nextReady !== segments.wait && isDone(segments.nextReadyCookie))
    segments.done = segments.nextReady
  // WAIT is empty only if NEXT_READY is.
  segments.wait = segments.nextReady
  segments.waitCookie = segments.nextReadyCookie
  return true
}

/**
 * Gives a cookie to those without one, up to `tail`. The cookie is no earlier than those given
 * before. Returns whether there were any.
 */
export function accelerate(segments: Segments, cookie: number, tail: number): boolean {
  const { done, wait, nextReady, waitCookie } = segments
  if (nextReady === tail) return false
  segments.nextReady = tail
  if (wait === done || (wait === nextReady && waitCookie === cookie)) {
    segments.wait = tail
    segments.waitCookie = cookie
  } else segments.nextReadyCookie = cookie
  return true
}

/** The cookie for which the first ones wait that may not run yet; undefined if there are none. */
export function waitsFor({ done, wait, waitCookie }: Segments): number | undefined {
  return wait === done ? undefined : waitCookie
}
