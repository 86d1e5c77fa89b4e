/** A map beside redis on the same computer: what a round trip costs. A suite of map.ts. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SharedMap } from 'percpu'
import { createClient } from 'redis'
import { Absent, type Effort, type Suite } from './harness/suite.js'

const NAMES = 10_000
/** Requests that are under way at a time, where they are not one after another. */
const AT_A_TIME = 100

function clientOf(path: string) {
  return createClient({ socket: { path, tls: false, reconnectStrategy: () => 20 } })
}
type Client = ReturnType<typeof clientOf>

/** A server without persistence, on a Unix socket, and a client of it. */
class Redis {
  readonly #directory = mkdtempSync(join(tmpdir(), 'percpu-redis-'))
  #server: ChildProcess | undefined
  #client: Client | undefined

  get client(): Client {
    if (this.#client === undefined) throw new Absent('no redis-server here')
    return this.#client
  }

  async open(names: readonly string[]): Promise<void> {
    const path = join(this.#directory, 'socket')
    const args = ['--port', '0', '--unixsocket', path, '--save', '', '--appendonly', 'no']
    const server = spawn('redis-server', args, { stdio: 'ignore', cwd: this.#directory })
    const failed = once(server, 'error').then(() => true)
    if (await Promise.race([failed, once(server, 'spawn').then(() => false)])) return
    this.#server = server
    const client = clientOf(path)
    client.on('error', () => undefined)
    await Promise.race([client.connect(), sleep(10_000, undefined, { ref: false })])
    await client.mSet(names.flatMap((name, i) => [name, String(i)]))
    this.#client = client
  }
  async close(): Promise<void> {
    this.#client?.destroy()
    if (this.#server !== undefined) {
      this.#server.kill()
      await once(this.#server, 'exit')
    }
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

/** `shared` has the names; `nameOf` gives one by its number. */
export function redisSuite(
  fill: () => Promise<void>,
  shared: SharedMap<string, number>,
  nameOf: (i: number) => string,
): Suite {
  const redis = new Redis()
  let at = 0
  const next = (): string => nameOf(at++ % NAMES)
  const microseconds = async (count: number, run: () => unknown): Promise<number> => {
    const begun = process.hrtime.bigint()
    await run()
    return Number(process.hrtime.bigint() - begun) / 1000 / count
  }
  const ONE = 'redis, GET, one after another'
  return {
    title: 'look up a name, here or in another process',
    unit: 'µs',
    note: `redis on the same computer, through a Unix socket, without persistence. ${NAMES.toLocaleString('en')} names.`,
    setUp: async () => {
      await fill()
      await redis.open(Array.from({ length: NAMES }, (_, i) => nameOf(i)))
    },
    tearDown: () => redis.close(),
    rows: [
      {
        name: 'SharedMap.get',
        role: 'ours',
        compareWith: ONE,
        measure: ({ roundTime }: Effort) => {
          const count = roundTime * 2000
          return microseconds(count, () => {
            let sum = 0
            for (let i = 0; i < count; i++) sum += shared.get(next()) ?? 0
            return sum
          })
        },
      },
      {
        name: ONE,
        role: 'peer',
        measure: ({ roundTime }: Effort) => {
          const { client } = redis
          const count = roundTime * 10
          return microseconds(count, async () => {
            for (let i = 0; i < count; i++) await client.get(next())
          })
        },
      },
      {
        name: `redis, GET, ${AT_A_TIME} at a time`,
        role: 'peer',
        measure: ({ roundTime }: Effort) => {
          const { client } = redis
          const turns = roundTime
          return microseconds(turns * AT_A_TIME, async () => {
            for (let turn = 0; turn < turns; turn++)
              await Promise.all(Array.from({ length: AT_A_TIME }, () => client.get(next())))
          })
        },
      },
    ],
  }
}
