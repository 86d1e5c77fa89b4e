/** Where a call comes from, as text. */

type Capture = (holder: object, above: (...args: never[]) => unknown) => void

/** The stack of the call of `above`. Where the engine cannot cut it, it has frames of percpu. */
export function stackAbove(above: (...args: never[]) => unknown): string {
  const holder: { stack?: string | undefined } = new Error()
  ;(Error as { captureStackTrace?: Capture }).captureStackTrace?.(holder, above)
  const lines = (holder.stack ?? '').split('\n').map((line) => line.trim())
  return lines
    .filter((line) => line !== '' && !/^Error\b|node:internal|node:async_hooks/.test(line))
    .join('\n')
}

/** A stack as part of a message. */
export function indented(title: string, stack: string | undefined): string {
  const lines = stack === undefined || stack === '' ? ['(not known)'] : stack.split('\n')
  return [`\n  ${title}:`, ...lines.map((line) => `\n    ${line}`)].join('')
}
