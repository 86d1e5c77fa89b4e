/** The rows of tables on the page at `/`, in Chromium. */
import assert from 'node:assert/strict'
import { after, before, describe, it, type TestContext } from 'node:test'
import type { Locator, Page } from 'playwright-core'
import { noChromium, openWindow, type Window } from '../helpers/chromium.js'
import { hostile } from '../helpers/fake-service.js'
import { NETS, ndjson, testTables, type TestTables } from '../helpers/tables.js'

const DESKTOP = { width: 1440, height: 900 }
const PHONE = { width: 360, height: 740 }

const row = (key: string, value: unknown) => ({ id: key, value })
const number = (i: number) => String(i).padStart(3, '0')
const PLACES = ndjson([
  ...Array.from({ length: 120 }, (_, i) => row(`place ${number(i)}`, i)),
  row('square', { a: [1, null] }),
  row(hostile, hostile),
  row('long', 'x'.repeat(5000)),
])

const skip = noChromium()
describe('the rows of a table', { skip }, () => {
  let window: Window
  let page: Page
  before(async () => {
    window = await openWindow()
    ;({ page } = window)
  })
  after(() => window.close())

  const part = (): Locator => page.getByRole('region', { name: /^Rows of/ })
  const rows = (): Locator => part().locator('tbody tr')
  const status = (text: string): Promise<void> => part().getByText(text, { exact: true }).waitFor()

  /** Opens the page of a service, and leaves it after the test. */
  async function visit(t: TestContext, size = DESKTOP): Promise<TestTables> {
    const files = {
      'places.ndjson': PLACES,
      'nets.csv': NETS,
      'ages.csv': 'from,to,is\n0,17,young\n18,199,old\n',
    }
    const tables = await testTables(t, {
      files,
      keys: ['places:id'],
      ranges: ['nets:from,to', 'ages:from,to'],
    })
    t.after(() => window.leave(tables.service.url))
    await page.setViewportSize(size)
    await page.goto(tables.service.url)
    await part().waitFor()
    return tables
  }

  async function choose(name: string): Promise<void> {
    await page.locator('#tables').getByRole('button', { name }).click()
    await page.getByRole('heading', { name: `Rows of ${name}` }).waitFor()
  }

  it('come a page at a time, with the keyboard alone', async (t) => {
    await visit(t)
    await choose('places')
    const query = part().getByLabel('Keys that begin with')
    const focus = (): Promise<string> =>
      page.evaluate('document.activeElement.className || document.activeElement.id')
    await query.focus()
    await page.keyboard.type('place ')
    await page.keyboard.press('Enter')
    await rows().first().getByText('place 000', { exact: true }).waitFor()
    await status('50 rows, and there are more.')
    while ((await focus()) !== 'rows-more') await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await status('100 rows, and there are more.')
    assert.equal(await focus(), 'rows-more')
    await page.keyboard.press('Enter')
    await status('120 rows, and no more.')
    assert.equal(await focus(), 'scroll rows')
    const keys = await rows().locator('th').allInnerTexts()
    assert.deepEqual(
      keys,
      Array.from({ length: 120 }, (_, i) => `place ${number(i)}`),
    )
    assert.equal(await part().getByRole('button', { name: 'More rows' }).isVisible(), false)
  })

  it('are those of a prefix, with what they hold', async (t) => {
    await visit(t)
    await choose('places')
    const query = part().getByLabel('Keys that begin with')
    await query.fill('sq')
    await query.press('Enter')
    await status('1 row, and no more.')
    assert.match(await rows().innerText(), /^square\s+{"value":{"a":\[1,null\]}}\s+\d+$/)
    await query.fill('long')
    await query.press('Enter')
    await rows().getByText('long', { exact: true }).waitFor()
    const shown = await rows().locator('.value').innerText()
    assert.deepEqual([shown.length, shown.endsWith('x…')], [201, true])
    await query.fill('nobody')
    await part().getByRole('button', { name: 'Show' }).click()
    await status('There is no such row.')
    assert.equal(await rows().count(), 0)
  })

  it('begin at a number, at an address, or lie in a network', async (t) => {
    await visit(t)
    await choose('nets')
    await status('3 rows, and no more.')
    const query = part().getByLabel('From an address on, or in a network')
    const ranges = (): Promise<string[]> => rows().locator('th').allInnerTexts()
    await query.fill('10.0.2.0/24')
    await query.press('Enter')
    await status('1 row, and no more.')
    assert.deepEqual(await ranges(), ['10.0.2.0 – 10.0.3.255'])
    await query.fill(' 10.0.1.0')
    await query.press('Enter')
    await status('2 rows, and no more.')
    assert.deepEqual(await ranges(), ['10.0.2.0 – 10.0.3.255', '2001:db8:: – 2001:db8::ffff'])
    await choose('ages')
    await status('2 rows, and no more.')
    const from = part().getByLabel('From a number on')
    assert.equal(await from.inputValue(), '')
    await from.fill('20')
    await from.press('Enter')
    await status('1 row, and no more.')
    assert.deepEqual(await ranges(), ['18 – 199'])
  })

  it('are told to be none in words, and come again', async (t) => {
    const { service } = await visit(t)
    await choose('nets')
    const query = part().getByLabel('From an address on, or in a network')
    await query.fill('10.0.0.0/99')
    await query.press('Enter')
    await part()
      .getByText(/^No rows can be shown: prefix '10\.0\.0\.0\/99' .*\w\.$/)
      .waitFor()
    assert.equal(await rows().count(), 0)
    await query.fill('')
    await query.press('Enter')
    await status('3 rows, and no more.')
    await choose('places')
    await status('50 rows, and there are more.')
    await page.route('**/tables/places?**', (route) => route.fulfill({ status: 502, body: '<b>bad</b>' }))
    const more = part().getByRole('button', { name: 'More rows' })
    await more.click()
    await status('No more rows can be shown: the answer is 502.')
    assert.equal(await rows().count(), 50)
    await page.unroute('**/tables/places?**')
    await more.click()
    await status('100 rows, and there are more.')
    await service.close()
    await part().getByRole('button', { name: 'Show' }).click()
    await status('No rows can be shown: the service does not answer.')
  })

  it('go on where they were when another selection is typed, but not asked for', async (t) => {
    await visit(t)
    await choose('places')
    await status('50 rows, and there are more.')
    const last = rows().nth(50).locator('th')
    await part().getByLabel('Keys that begin with').fill('square')
    await part().getByRole('button', { name: 'More rows' }).click()
    await status('100 rows, and there are more.')
    assert.equal(await last.innerText(), 'place 048')
  })

  it('are text, whatever they hold, and fit a phone', async (t) => {
    await visit(t, PHONE)
    await choose('places')
    const query = part().getByLabel('Keys that begin with')
    await query.fill(hostile)
    await query.press('Enter')
    await status('1 row, and no more.')
    assert.equal(await rows().locator('th').innerText(), hostile)
    assert.equal(await rows().locator('.value').innerText(), JSON.stringify({ value: hostile }))
    await query.fill('')
    await query.press('Enter')
    await status('50 rows, and there are more.')
    assert.equal(await page.locator('img, main script').count(), 0)
    assert.equal(await page.evaluate('document.documentElement.scrollWidth'), 360)
    const width = await page.evaluate<number>("document.querySelector('.rows td.value').clientWidth")
    assert.ok(width > 150, `a value has ${width} pixels`)
    const wide = "[...document.querySelectorAll('.rows')].some((each) => each.scrollWidth > each.clientWidth)"
    assert.equal(await page.evaluate(wide), false)
  })
})
