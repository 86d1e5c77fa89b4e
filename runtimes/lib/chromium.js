// Loads pages in Debian's Chromium.

import { existsSync } from 'node:fs'
import { chromium } from 'playwright-core'
import { BOUND } from './program.js'

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'

/** Resolves with what `use` makes of a new browser. */
async function withBrowser(use) {
  if (!existsSync(executablePath))
    throw new Error(`not installed: ${executablePath} (apt-get install chromium)`)
  // The sandbox does not work for root, whom continuous integration is.
  const browser = await chromium.launch({ executablePath, chromiumSandbox: false })
  try {
    return await use(browser)
  } finally {
    await browser.close()
  }
}

export function chromiumVersion() {
  return withBrowser((browser) => browser.version())
}

/** Resolves with what a page leaves in `globalThis.outcome`, and what it wrote to its console. */
export function loadPage(address) {
  return withBrowser(async (browser) => {
    const page = await browser.newPage()
    const lines = []
    page.on('console', (message) => message.type() === 'log' && lines.push(message.text()))
    page.on('pageerror', (error) => lines.push(String(error.stack)))
    await page.goto(address)
    const found = page.waitForFunction(() => globalThis.outcome, undefined, { timeout: BOUND })
    const outcome = await found.then(
      (handle) => handle.jsonValue(),
      (error) => Promise.reject(new Error(`${address}: ${error.message}\n${lines.join('\n')}`)),
    )
    return { outcome, lines }
  })
}
