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
import { FakeService, hostile } from '../helpers/fake-service.js'
import { testService } from '../helpers/service.js'
import { ndjson, testTables } from '../helpers/tables.js'

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

describe('the page', { skip }, () => {
  let machine: Machine
  let worker: Worker
  let service: FakeService
  let url: string
  before(async () => {
    machine = boot({ cpus: 3, memory: '16 MiB' })
    worker = new Worker(new URL('../helpers/stuck-worker.js', import.meta.url), {
      workerData: machine.handle,
    })
    machine.supervise(worker)
    await once(worker, 'message')
    service = new FakeService(machine)
    url = await service.start()
  })
  afterEach(() => window.leave(url))
  after(async () => {
    await worker.terminate()
    await service.stop()
    await machine.offline()
  })

  it('finds an address, and says why it finds none', async () => {
    await visit(url)
    const query = page.getByLabel('Look up an address or a key')
    await query.fill('1.1.1.1')
    await page.getByRole('button', { name: 'Look up' }).click()
    const results = page.getByRole('region', { name: 'Results' })
    await results.getByText('Ü & Söhne').waitFor()
    assert.match(await results.innerText(), /range start\s+1\.1\.1\.0/)
    await query.fill('9.9.9.9')
    await page.getByRole('button', { name: 'Look up' }).click()
    await results.getByText('Nothing is known of 9.9.9.9.').waitFor()
    assert.doesNotMatch(await results.innerText(), /no address/)
    await query.fill('nonsense')
    await page.getByRole('button', { name: 'Look up' }).click()
    await results.getByText("'nonsense' is no address").waitFor()
    assert.equal(await page.locator('footer a').getAttribute('href'), 'https://example.org')
  })

  it('is used with the keyboard alone, and keeps the search in its address', async () => {
    await visit(url)
    await page.getByLabel('Look up an address or a key').waitFor()
    await page.keyboard.press('/')
    await page.keyboard.type('1.1.1.1')
    await page.keyboard.press('Enter')
    await page.getByText('Ü & Söhne').waitFor()
    assert.match(page.url(), /\?q=1\.1\.1\.1$/)
    const outline = 'getComputedStyle(document.activeElement).outlineStyle + document.activeElement.id'
    assert.equal(await page.evaluate(outline), 'solidquery')
    const button = page.getByRole('button', { name: hostile })
    await button.waitFor()
    const focused = "document.activeElement.closest('tr')?.dataset.name ?? ''"
    while ((await page.evaluate(focused)) !== hostile) await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    assert.equal(await button.getAttribute('aria-pressed'), 'true')
    await page.reload()
    await page.getByText('Ü & Söhne').waitFor()
  })

  it('shows figures that change, a worker that is stuck, and what it is stuck in', async () => {
    await visit(url)
    await connection('open').waitFor()
    const asking = new AbortController()
    const asked = (async () => {
      while (!asking.signal.aborted) {
        await fetch(`${url}/lookup/1.1.1.1`)
        await pause(50)
      }
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
    await visit(url, PHONE)
    await connection('open').waitFor()
    await page.getByRole('searchbox').fill('1.1.1.1')
    await page.getByRole('searchbox').press('Enter')
    await page.getByText('Ü & Söhne').waitFor()
    assert.equal(await page.evaluate('document.documentElement.scrollWidth'), 360)
    const shift = `new Promise((resolve) => new PerformanceObserver((list) => {
      const moved = list.getEntries().filter((entry) => !entry.hadRecentInput)
      resolve(moved.reduce((sum, entry) => sum + entry.value, 0))
    }).observe({ type: 'layout-shift', buffered: true }) ?? setTimeout(() => resolve(0), 100))`
    const moved = await page.evaluate<number>(shift)
    assert.ok(moved < 0.1, `moved by ${moved}`)
  })

  it('has a heading for each column of a table', async () => {
    await visit(url)
    for (const rows of ['#table-rows', '#memory-rows'])
      await page.locator(`${rows} tr`).first().waitFor({ state: 'attached' })
    const widths = await page
      .locator('table')
      .evaluateAll((tables) =>
        (tables as unknown as { rows: { cells: { length: number } }[] }[]).map(({ rows }) =>
          Array.from(rows, ({ cells }) => cells.length),
        ),
      )
    for (const cells of widths) assert.equal(new Set(cells).size, 1, cells.join())
  })

  it('finds keys, and shows changes as they come', async () => {
    await visit(url)
    await page.getByRole('searchbox').fill('colour')
    await page.getByRole('button', { name: 'settings' }).waitFor()
    await page.getByRole('searchbox').press('Enter')
    const result = page.getByRole('region', { name: 'Results' }).getByRole('article').first()
    await result.getByText('[0,0,255]').waitFor()
    assert.match(await result.innerText(), /^settings\s*version 7/)
    await service.followed()
    service.change('set', { key: 'colour', value: { name: 'red' }, version: 8 })
    service.change('delete', { from: '1.1.1.0', to: '1.1.1.255', version: 9 })
    await page.locator('.log li', { hasText: 'delete' }).waitFor()
    const lines = await page.locator('.log li').allInnerTexts()
    assert.match(lines[0] ?? '', /delete\s+1\.1\.1\.0 – 1\.1\.1\.255\s+version 9/)
    assert.match(lines[1] ?? '', /set\s+colour\s+{"name":"red"}\s+version 8/)
  })

  it('shows names, values and labels as text, whatever they hold, also on a phone', async () => {
    await visit(url, PHONE)
    await page.getByRole('searchbox').fill(hostile)
    const button = page.getByRole('button', { name: hostile })
    await button.click()
    await page.getByRole('searchbox').press('Enter')
    await page.getByRole('definition').filter({ hasText: hostile }).first().waitFor()
    await service.followed()
    service.change('set', { key: hostile, value: hostile, version: 8 })
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
    await service.stop()
    await connection('lost').waitFor()
    await service.start(Number(new URL(url).port))
    await connection('open').waitFor()
    await service.followed()
    service.change('set', { key: 'colour', value: 'green', version: 10 })
    await page.locator('.log li', { hasText: 'green' }).waitFor()
  })
})

// The pictures of docs/page.md: a service with the packaged tables that answers batches, and one
// with tables of its own.
if (process.env['PERCPU_PICTURES'] !== undefined) {
  process.title = 'percpu serve'
  const folder = fileURLToPath(new URL('../../../../docs/pictures/', import.meta.url))
  it('is drawn', async (t) => {
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
    await visit(`${url}/?q=1.1.1.1`, { width: 1280, height: 940 })
    await pause(60_000)
    await page.screenshot({ path: `${folder}page-light.png` })
    await page.emulateMedia({ colorScheme: 'dark' })
    await page.setViewportSize({ width: 360, height: 1280 })
    await pause(2000)
    await page.screenshot({ path: `${folder}page-dark.png` })
    await page.emulateMedia({ colorScheme: 'light' })
    ends.abort()
    await asked
  })

  it('is drawn with tables', async (t) => {
    const cities = ['Oslo', 'Rome', 'Lima', 'Kyoto', 'Quito']
    const names = ['ann', 'bob', 'cyd', 'dan', 'eve', 'fay', 'gus', 'hal', 'ida', 'jon']
    const users = names.flatMap((name, i) =>
      cities.map((city, k) => ({
        id: `${name}.${city.toLowerCase()}`,
        city,
        age: 20 + ((7 * i + 11 * k) % 50),
      })),
    )
    const nets = 'from,to,owner\n10.0.0.0,10.0.0.255,lab\n10.0.2.0,10.0.3.255,office\n'
    const files = { 'users.ndjson': ndjson(users), 'nets.csv': nets }
    const { service, ask } = await testTables(t, { files, keys: ['users:id'], ranges: ['nets:from,to'] })
    await visit(service.url, { width: 1280, height: 1160 })
    await page.locator('#tables').getByRole('button', { name: 'users' }).click()
    const query = page.getByLabel('Keys that begin with')
    await query.fill('a')
    await query.press('Enter')
    await page.getByText('5 rows, and no more.').waitFor()
    await page.getByText('Changes are shown as they come.').waitFor()
    for (const city of cities)
      await ask('PUT', `/tables/users/gus.${city.toLowerCase()}`, JSON.stringify({ city, age: 44 }))
    await pause(5000)
    await page.screenshot({ path: `${folder}page-tables.png` })
  })
}
