/** Debian's Chromium, which looks at pages. */
import assert from 'node:assert/strict'
import { chromium, type Page } from 'playwright-core'
import { missing } from './programs.js'

const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium'

/** Why there is no browser here, or false. */
export function noChromium(): string | false {
  return missing(executablePath, 'apt-get install chromium, or name one in CHROMIUM')
}

/** A window of a browser, and what must not happen in it. */
export interface Window {
  readonly page: Page
  /** Leaves the page. @throws AssertionError if anything went wrong on it, or others were asked */
  leave(origin: string): Promise<void>
  close(): Promise<void>
}

/** Starting one takes seconds of processor: have one for all tests of a file. */
export async function openWindow(): Promise<Window> {
  const quiet = ['background-networking', 'component-update', 'sync', 'quic', 'gpu']
  const args = [...quiet.map((part) => `--disable-${part}`), '--no-first-run']
  // The sandbox does not work for root, whom continuous integration is.
  const browser = await chromium.launch({ executablePath, chromiumSandbox: false, args })
  const page = await browser.newPage()
  // A busy machine is slow: the limits of the tests count.
  page.setDefaultTimeout(0)
  const asked = new Set<string>()
  const wrong: string[] = []
  page.on('request', (request) => {
    if (request.url() !== 'about:blank') asked.add(new URL(request.url()).origin)
  })
  page.on('pageerror', (error) => wrong.push(error.stack ?? error.message))
  page.on('dialog', (dialog) => {
    wrong.push(`a dialog: ${dialog.message()}`)
    void dialog.dismiss()
  })
  page.on('console', (message) => {
    // Chromium writes a line for each answer that is no success, which a search may have.
    const isAnswer = /^Failed to load resource/.test(message.text())
    if (!isAnswer || !/\/(lookup|tables|live|changes)\b/.test(message.location().url))
      wrong.push(message.text())
  })
  return {
    page,
    async leave(origin) {
      await page.goto('about:blank')
      assert.deepEqual(wrong.splice(0), [])
      const origins = [...asked]
      asked.clear()
      assert.deepEqual(origins, [origin])
    },
    close: () => browser.close(),
  }
}
