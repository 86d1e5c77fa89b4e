/** Values of command-line options, checked; each says which option is wrong and what it takes. */
import { InvalidArgumentError } from 'commander'

const units: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kib: 2 ** 10,
  k: 2 ** 10,
  mib: 2 ** 20,
  m: 2 ** 20,
  gib: 2 ** 30,
  g: 2 ** 30,
}

/** Bytes: `65536`, `64KiB`, `1.5 GiB`. */
export function parseBytes(text: string): number {
  const [, number = '', unit = ''] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text) ?? []
  const factor = units[unit.toLowerCase()]
  if (number === '' || factor === undefined)
    throw new InvalidArgumentError('Expected a size such as 65536, 64KiB or 1GiB.')
  const bytes = Math.round(Number(number) * factor)
  if (bytes < 1 || !Number.isSafeInteger(bytes))
    throw new InvalidArgumentError('Expected a size of at least one byte.')
  return bytes
}

/** A whole number from `low` to `high`. */
export function parseInteger(low: number, high: number): (text: string) => number {
  return (text) => {
    const number = Number(text)
    if (/^\d+$/.test(text) && number >= low && number <= high) return number
    throw new InvalidArgumentError(`Expected a whole number from ${low} to ${high}.`)
  }
}

/** A share of a whole, 0 to 100, with fractions. */
export function parsePercent(text: string): number {
  const percent = Number(text)
  if (/^\d+(\.\d+)?$/.test(text) && percent <= 100) return percent
  throw new InvalidArgumentError('Expected a percentage, from 0 to 100.')
}

/** Seconds, with fractions, as milliseconds. */
export function parseSeconds(text: string): number {
  const seconds = Number(text)
  if (/^\d+(\.\d+)?$/.test(text) && seconds >= 0.1 && seconds <= 86_400) return Math.round(seconds * 1000)
  throw new InvalidArgumentError('Expected seconds, from 0.1 to 86400.')
}

/** The path of a file. */
export function parsePath(text: string): string {
  if (text === '' || text.includes('\0')) throw new InvalidArgumentError('Expected the path of a file.')
  return text
}
/** Paths of files, one after the other. */
export function parsePaths(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), parsePath(text)]
}
/** An option that may be given several times. */
export function parseTexts(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), text]
}
/** That of a socket: on Linux it may begin with a NUL, for a name that is no file. */
export function parseSocket(text: string): string {
  if (text === '' || text.includes('\0', 1)) throw new InvalidArgumentError('Expected the path of a socket.')
  return text
}

/** One character between columns. */
export function parseSeparator(text: string): string {
  const separator = text === 'tab' || text === '\\t' ? '\t' : text
  if (/^[^\w"\r\n]$/.test(separator)) return separator
  throw new InvalidArgumentError("Expected one character such as ';', or tab.")
}

/** The URL of a service. */
export function parseServer(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url && /^https?:$/.test(url.protocol)) return url
  throw new InvalidArgumentError('Expected a URL such as http://127.0.0.1:8080.')
}

/** One server of NATS, or several with commas. */
export function parseNats(text: string): string {
  const isServer = (server: string) => {
    const url = server.includes('://') ? server : `nats://${server}`
    return URL.canParse(url) && new URL(url).protocol === 'nats:' && new URL(url).host !== ''
  }
  if (text.split(',').every((server) => isServer(server))) return text
  throw new InvalidArgumentError('Expected a URL such as nats://127.0.0.1:4222.')
}
export function parseBucket(text: string): string {
  if (/^[\w-]{1,64}$/.test(text)) return text
  throw new InvalidArgumentError("Expected letters, digits, '_' and '-', at most 64.")
}

/** When a log is written through to the disk: `always`, or every so many seconds. */
export function parseSync(text: string): 'always' | { readonly intervalMilliseconds: number } {
  if (text === 'always') return 'always'
  if (text === 'interval') return { intervalMilliseconds: 1000 }
  if (!/^[\d.]+$/.test(text)) throw new InvalidArgumentError('Expected always, interval, or seconds.')
  return { intervalMilliseconds: parseSeconds(text) }
}

/** The URL of what a service is asked for, as it was written: `{}` stays. */
export function parseTarget(text: string): string {
  parseServer(text.replaceAll('{}', 'x'))
  return text
}
