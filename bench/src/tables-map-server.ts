/**
 * What one would write without percpu: an HTTP server of Node's with a Map in each process. Its
 * arguments: a file of NDJSON with `key`, and how many processes there are.
 */
import cluster from 'node:cluster'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

const [file = '', processes = '1'] = process.argv.slice(2)
const count = Number(processes)

function serve(port: number): Promise<number> {
  const map = new Map<string, string>()
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    if (line === '') continue
    const { key, ...value } = JSON.parse(line) as { readonly key: string }
    map.set(key, JSON.stringify(value))
  }
  const server = createServer((request, response) => {
    const value = map.get(decodeURIComponent((request.url ?? '').slice('/tables/t/'.length)))
    response.statusCode = value === undefined ? 404 : 200
    response.setHeader('content-type', 'application/json; charset=utf-8')
    response.end(value)
  })
  return new Promise((resolve) =>
    server.listen(port, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)),
  )
}

function tell(port: number): void {
  console.log(JSON.stringify({ url: `http://127.0.0.1:${port}`, pids: [process.pid, ...pids] }))
}
const pids: number[] = []
if (count === 1) tell(await serve(0))
else if (cluster.isPrimary) {
  let ready = 0
  for (let i = 0; i < count; i++) {
    const worker = cluster.fork()
    pids.push(worker.process.pid ?? 0)
    worker.once('listening', ({ port }) => {
      if (++ready === count) tell(port)
    })
  }
} else await serve(0)
