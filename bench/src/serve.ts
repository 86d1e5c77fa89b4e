/** The lookup service under load, beside a bare server of Node's that answers a constant. */
import { type Measure, type Suite } from './harness/suite.js'
import { command, CONNECTIONS, load, Server } from './server-process.js'

const PATH = '/lookup/1.1.1.1'
const ANSWER = JSON.stringify({
  ...{ address: '1.1.1.1', range: { start: '1.1.1.0', end: '1.1.1.255' } },
  ...{ asn: 13335, organisation: 'Cloudflare, Inc.' },
})
const bareServer = `
  const server = require('node:http').createServer((request, response) => {
    response.setHeader('content-type', 'application/json; charset=utf-8')
    response.end(${JSON.stringify(ANSWER)})
  })
  server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ url: 'http://127.0.0.1:' + server.address().port })))`

const service = new Server([command, 'serve', '--port', '0', '--no-watch'])
const bare = new Server(['-e', bareServer])
let isOpen = false
async function open(): Promise<void> {
  if (isOpen) return
  isOpen = true
  process.once('exit', () => {
    service.child.kill('SIGKILL')
    bare.child.kill('SIGKILL')
  })
  await Promise.all([service.ready(), bare.ready()])
  await service.published()
}

const rateOf =
  (server: Server): Measure =>
  async (effort) =>
    (await load(`${server.url}${PATH}`, effort)).rate
const BARE = 'node:http, a constant'
const rates: Suite = {
  title: `GET of one address, ${CONNECTIONS} connections kept alive`,
  unit: 'requests/s',
  note: 'wrk with one thread, on the same computer. The bare server has the same answer ready.',
  take: 'highest',
  setUp: open,
  rows: [
    { name: 'percpu serve', role: 'ours', goal: { against: BARE, atLeast: 0.8 }, measure: rateOf(service) },
    { name: BARE, role: 'peer', measure: rateOf(bare) },
  ],
}

const QUIET = 'quiet'
const lateness: Suite = {
  title: 'GET of one address: 99 of 100 are answered within',
  unit: 'ms',
  note: 'As above. During a reload: the table is read again, over and over.',
  take: 'median',
  setUp: open,
  rows: [
    {
      name: 'during a reload',
      role: 'ours',
      goal: { against: QUIET, atMost: 2 },
      measure: async (effort) => {
        service.child.kill('SIGHUP')
        const ticker = setInterval(() => service.child.kill('SIGHUP'), 500)
        try {
          return (await load(`${service.url}${PATH}`, effort)).late
        } finally {
          clearInterval(ticker)
        }
      },
    },
    {
      name: QUIET,
      role: 'ours',
      measure: async (effort) => (await load(`${service.url}${PATH}`, effort)).late,
    },
  ],
  tearDown: async () => {
    await Promise.all([service.close(), bare.close()])
  },
}

export const suites: readonly Suite[] = [rates, lateness]
