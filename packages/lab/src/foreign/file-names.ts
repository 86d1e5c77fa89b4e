/** What the URLs of files tell. */

/** Whether it is TypeScript, of a module, CommonJS, or with JSX. */
export function isTypeScript(url: string): boolean {
  return /\.[cm]?tsx?$/.test(addressOf(url))
}

/** The URL without what follows the path. */
export function addressOf(url: string): string {
  return url.replace(/[?#].*$/, '')
}
