/** The check of what users pass as a cookie. */
import { COMPLETED, isIdle } from '../cpus/sequence.js'
import { refused } from '../machine/check.js'

/** @throws ArgumentError for what is no cookie. */
export function checkCookie(cookie: number): void {
  const isWord = Number.isInteger(cookie) && (cookie | 0) === cookie
  if (isWord && (isIdle(cookie) || cookie === COMPLETED)) return
  throw refused('cookie', cookie, 'none that getState or startPoll gave')
}
