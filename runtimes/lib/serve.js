// Serves a folder to pages that are cross-origin isolated.

import { readFile } from 'node:fs/promises'
import http from 'node:http'
import path from 'node:path'

const types = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.map': 'application/json',
}
const isolation = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
}
const servers = []

/** Resolves with the address. `edit` may change what pages and files of JavaScript have. */
export async function serve(folder, { edit = (text) => text, headers = isolation } = {}) {
  const server = http.createServer((request, response) => {
    const name = path.normalize(new URL(request.url, 'http://localhost').pathname)
    const type = types[path.extname(name)] ?? 'application/octet-stream'
    readFile(path.join(folder, name)).then(
      (content) => {
        response.writeHead(200, { 'content-type': type, ...headers })
        response.end(type.startsWith('text/') ? edit(content.toString()) : content)
      },
      () => response.writeHead(404).end(),
    )
  })
  servers.push(server)
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${server.address().port}`
}

export function closeServers() {
  for (const server of servers) {
    server.closeAllConnections()
    server.close()
  }
}
