// Questions to the service, and what it answers.

/** Milliseconds until an answer is waited for no longer. */
const PATIENCE = 30_000

/**
 * Resolves with the `value` of the answer and its `version`, if it has one. Else it resolves with
 * the `error`, which says why in words, and the `status` of what was answered. An aborted `signal`
 * ends it so, too.
 */
export async function ask(url, signal) {
  try {
    const ends = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE)])
    const response = await fetch(url, { signal: ends, headers: { accept: 'application/json' } })
    const value = parsed(await response.text())
    if (response.ok) return { value, version: response.headers.get('etag') }
    return { error: value?.error ?? `the answer is ${response.status}`, status: response.status }
  } catch {
    return { error: 'the service does not answer' }
  }
}

function parsed(body) {
  try {
    return JSON.parse(body)
  } catch {
    return body
  }
}
