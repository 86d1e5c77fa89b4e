/** The page at `/`, in Chromium. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, afterEach, before, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { boot, type Machine } from 'percpu'
import { attribution, packagedFiles } from 'percpu-console'
import type { Locator, Page } from 'playwright-core'
import { noChromium, openWindow, type Window } from '../helpers/chromium.js'
import { FakeTables, hostile } from '../helpers/fake-tables.js'
import { testService, type TestService } from '../helpers/service.js'

const DESKTOP = { width: 1440, height: 900 }
const PHONE = { width: 360, height: 740 }

const skip = noChromium()
let window: Window
let page: Page
before(async () => {
  if (skip !== false) return
  window = await openWindow()
  ;({ page } = window)
})
after(async () => {
  if (skip === false) await window.close()
})

/** Opens the page of a service anew. */
async function visit(url: string, size = DESKTOP): Promise<void> {
  await page.setViewportSize(size)
  await page.goto(url)
}

const connection = (state: string): Locator => page.locator(`#connection[data-state=${state}]`)
/** A figure at the top, once it is another one than that. */
async function figure(name: string, than: RegExp): Promise<string> {
  const value = page.locator('.figures > div', { hasText: name }).locator('dd')
  await value.filter({ hasNotText: than }).waitFor()
  return value.innerText()
}

describe('the page of a service', { skip }, () => {
  let test: TestService
  let worker: Worker
  const ends: (() => unknown)[] = []
  before(async () => {
    test = await testService({ after: (end) => void ends.unshift(end as () => unknown) })
    worker = new Worker(new URL('../helpers/stuck-worker.js', import.meta.url), {
      workerData: test.service.machine.handle,
    })
    test.service.machine.supervise(worker)
    await once(worker, 'message')
  })
  afterEach(() => window.check(test.url))
  after(async () => {
    await worker.terminate()
    for (const end of ends) await end()
  })

  it('finds an address, and says why it finds none', async () => {
    await visit(test.url)
    await page.getByLabel('Look up an address').fill('1.1.1.1')
    await page.getByRole('button', { name: 'Look up' }).click()
    const results = page.getByRole('region', { name: 'Results' })
    await results.getByText('Cloudflare, Inc.').waitFor()
    assert.match(await results.innerText(), /range start\s+1\.1\.1\.0/)
    await page.getByRole('searchbox').fill('9.9.9.9')
    await page.getByRole('button', { name: 'Look up' }).click()
    await results.getByText('Nothing is known of 9.9.9.9.').waitFor()
    await page.getByRole('searchbox').fill('1.1.1')
    await page.getByRole('button', { name: 'Look up' }).click()
    await results.getByText(/'1\.1\.1' /).waitFor()
  })

  it('is used with the keyboard alone, and keeps the search in its address', async () => {
    await visit(test.url)
    await page.getByLabel('Look up an address').waitFor()
    await page.keyboard.press('/')
    await page.keyboard.type('2001:db8::1')
    await page.keyboard.press('Enter')
    await page.getByText('Documentation Ü').waitFor()
    assert.match(page.url(), /\?q=2001%3Adb8%3A%3A1$/)
    const outline = 'getComputedStyle(document.activeElement).outlineStyle + document.activeElement.id'
    assert.equal(await page.evaluate(outline), 'solidquery')
    await page.reload()
    await page.getByText('Documentation Ü').waitFor()
  })

  it('shows figures that change, a worker that is stuck, and what it is stuck in', async () => {
    await visit(test.url)
    await connection('open').waitFor()
    const asking = new AbortController()
    const asked = (async () => {
      while (!asking.signal.aborted) await fetch(`${test.url}/lookup/1.1.1.1`)
    })()
    await figure('lookups/s', /^[–0]$/)
    asking.abort()
    await asked
    await figure('lookups/s', /^[^0]|^0./)
    await figure('busy', /–/)
    worker.postMessage('sleep')
    const card = page.locator('.cards > li[data-activity=blocked]')
    await card.getByText('render /about').waitFor()
    await page
      .getByRole('alert')
      .getByText(/is blocked: render \/about/)
      .waitFor()
  })

  it('moves nothing when the figures come, and fits a phone', async () => {
    await visit(test.url, PHONE)
    await connection('open').waitFor()
    await page.getByLabel('Look up an address').fill('1.1.1.1')
    await page.getByLabel('Look up an address').press('Enter')
    await page.getByText('Cloudflare, Inc.').waitFor()
    assert.equal(await page.evaluate('document.documentElement.scrollWidth'), 360)
    const shift = `new Promise((resolve) => new PerformanceObserver((list) => {
      const moved = list.getEntries().filter((entry) => !entry.hadRecentInput)
      resolve(moved.reduce((sum, entry) => sum + entry.value, 0))
    }).observe({ type: 'layout-shift', buffered: true }) ?? setTimeout(() => resolve(0), 100))`
    const moved = await page.evaluate<number>(shift)
    assert.ok(moved < 0.1, `moved by ${moved}`)
  })
})

describe('the page of a service with tables', { skip }, () => {
  let machine: Machine
  let tables: FakeTables
  let url: string
  before(async () => {
    machine = boot({ cpus: 2, memory: '16 MiB' })
    tables = new FakeTables(machine)
    url = await tables.start()
  })
  afterEach(() => window.check(url))
  after(async () => {
    await tables.stop()
    await machine.offline()
  })

  it('finds keys, and shows changes as they come', async () => {
    await visit(url)
    await page.getByLabel('Look up a key').fill('colour')
    await page.getByRole('button', { name: 'settings' }).waitFor()
    await page.getByLabel('Look up a key').press('Enter')
    const result = page.getByRole('region', { name: 'Results' }).getByRole('article').first()
    await result.getByText('[0,0,255]').waitFor()
    assert.match(await result.innerText(), /^settings\s*version 7/)
    await tables.followed()
    tables.change('set', { key: 'colour', value: { name: 'red' }, version: 8 })
    tables.change('delete', { from: '1.1.1.0', to: '1.1.1.255', version: 9 })
    await page.locator('.log li', { hasText: 'delete' }).waitFor()
    const lines = await page.locator('.log li').allInnerTexts()
    assert.match(lines[0] ?? '', /delete\s+1\.1\.1\.0 – 1\.1\.1\.255\s+version 9/)
    assert.match(lines[1] ?? '', /set\s+colour\s+{"name":"red"}\s+version 8/)
  })

  it('shows names, values and labels as text, whatever they hold, also on a phone', async () => {
    await visit(url, PHONE)
    await page.getByLabel('Look up a key').fill(hostile)
    const button = page.getByRole('button', { name: hostile })
    await button.click()
    await page.getByLabel('Look up a key').press('Enter')
    await page.getByRole('definition').filter({ hasText: hostile }).first().waitFor()
    await tables.followed()
    tables.change('set', { key: hostile, value: hostile, version: 8 })
    await page.locator('.log li', { hasText: hostile }).waitFor()
    const label = '<img src=x onerror=alert(3)>'
    const running = machine.run(label, () => page.locator('.work', { hasText: label }).waitFor())
    await running
    assert.equal(await page.locator('img, main script').count(), 0)
    assert.equal(await page.evaluate('document.documentElement.scrollWidth'), 360)
  })

  it('comes back when the service was started again', async () => {
    await visit(url)
    await connection('open').waitFor()
    await tables.stop()
    await connection('lost').waitFor()
    await tables.start(Number(new URL(url).port))
    await connection('open').waitFor()
    await tables.followed()
    tables.change('set', { key: 'colour', value: 'green', version: 10 })
    await page.locator('.log li', { hasText: 'green' }).waitFor()
  })
})

// The pictures of docs/page.md: a service with the packaged tables that answers batches.
if (process.env['PERCPU_PICTURES'] !== undefined)
  it('is drawn', async (t) => {
    process.title = 'percpu serve'
    const { url } = await testService(t, { files: packagedFiles(), workers: 5, attribution })
    const ends = new AbortController()
    const addresses = Array.from({ length: 100_000 }, (_, i) => `${1 + (i % 220)}.${i % 251}.${i % 13}.1`)
    const body = addresses.join('\n')
    const asked = (async () => {
      for (let i = 0; !ends.signal.aborted; i++) {
        await Promise.all(addresses.slice(0, 20).map((address) => fetch(`${url}/lookup/${address}`)))
        const length = Math.round(body.length * (0.1 + 0.9 * Math.sin(i / 9) ** 2))
        const headers = { 'content-type': 'text/plain' }
        const part = body.slice(0, body.lastIndexOf('\n', length))
        await (await fetch(`${url}/lookup`, { method: 'POST', body: part, headers })).text()
        await pause(150)
      }
    })()
    const folder = fileURLToPath(new URL('../../../../docs/pictures/', import.meta.url))
    await visit(`${url}/?q=1.1.1.1`, { width: 1280, height: 940 })
    await pause(60_000)
    await page.screenshot({ path: `${folder}page-light.png` })
    await page.emulateMedia({ colorScheme: 'dark' })
    await page.setViewportSize({ width: 360, height: 1280 })
    await pause(2000)
    await page.screenshot({ path: `${folder}page-dark.png` })
    ends.abort()
    await asked
  })
