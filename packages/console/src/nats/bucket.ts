/**
 * A bucket of NATS JetStream KV: the connection, and what is asked of it. Once it is open, the
 * connection is made anew whenever it is cut, until it is closed.
 *
 * A bucket is a stream `KV_NAME`, and a key a subject of it (ADR-8 of NATS). Its revisions are the
 * numbers of the stream: they order all that was ever written to the bucket.
 */
import { EventEmitter } from 'node:events'
import { readFile } from 'node:fs/promises'
import { jetstream, jetstreamManager, type JetStreamClient, type JetStreamManager } from '@nats-io/jetstream'
import { Kvm, type KV, type KvWatchEntry } from '@nats-io/kv'
import { connect, credsAuthenticator, headers, type NatsConnection } from '@nats-io/transport-node'
import { BucketError, FileError } from '../errors.js'

export interface BucketOptions {
  /** `nats://USER:PASSWORD@HOST:PORT`, or several with commas. */
  readonly url: string
  readonly bucket: string
  /** A file of credentials, as `nsc` writes it. */
  readonly credentials?: string | undefined
  /** How long an answer may take, and how often the connection is tried. Default 3 s. */
  readonly timeoutMilliseconds?: number | undefined
}

/** What there is of a key: its last revision. A deleted key has one, too. */
export interface Found {
  readonly revision: number
  readonly isDeleted: boolean
}
/** A revision, as it is heard of. */
export interface Heard {
  readonly name: string
  readonly revision: number
  readonly value: Uint8Array | undefined
  /** Whether the server says that there is no later one. After deletions it may fail to. */
  readonly isLast: boolean
}
export interface BucketState {
  /** Another one, if the bucket was made anew. */
  readonly created: string
  /** Revision that was written last, also if it is gone. */
  readonly last: number
  /** Keys, with deleted ones. */
  readonly names: number
}
export interface Watch extends AsyncIterable<Heard> {
  /** How many have come that were not taken yet. */
  waiting(): number
  stop(): void
}

export const TIMEOUT_MILLISECONDS = 3000
const RECONNECT_MILLISECONDS = 250
/** A connection on which nothing comes is found dead after three of these. */
const PING_MILLISECONDS = 2000
/** Of each key. A follower that is a little behind is still sent what was written over. */
const HISTORY = 8

/** `change`: connected or cut. */
export class Bucket extends EventEmitter<{ change: [] }> {
  readonly name: string
  readonly #connection: NatsConnection
  readonly #client: JetStreamClient
  readonly #manager: JetStreamManager
  readonly #kv: KV
  readonly #stream: string
  #isConnected = true
  #cuts = 0

  private constructor(name: string, connection: NatsConnection, manager: JetStreamManager, kv: KV) {
    super()
    this.name = name
    this.#connection = connection
    this.#client = jetstream(connection)
    this.#manager = manager
    this.#kv = kv
    this.#stream = `KV_${name}`
    void this.#listen()
  }

  /**
   * Connects, and makes the bucket if there is none.
   *
   * @throws BucketError, FileError for the credentials
   */
  static async open(options: BucketOptions): Promise<Bucket> {
    const { url, bucket, timeoutMilliseconds: timeout = TIMEOUT_MILLISECONDS } = options
    const shown = hostsIn(url).join(',')
    const connection = await connected(options, shown, timeout)
    try {
      const manager = await jetstreamManager(connection, { timeout })
      const kv = await new Kvm(jetstream(connection, { timeout })).create(bucket, { history: HISTORY })
      const { config } = await manager.streams.info(`KV_${bucket}`)
      if (config.max_age > 0)
        throw new BucketError(
          `entries of bucket ${bucket} end by themselves (TTL), and nobody would hear of it: use another one`,
        )
      return new Bucket(bucket, connection, manager, kv)
    } catch (error) {
      await connection.close()
      if (error instanceof BucketError) throw error
      const { message } = error as Error
      throw new BucketError(
        isWithoutJetStream(error)
          ? `the server at ${shown} has no JetStream: start it with -js`
          : `bucket ${bucket} at ${shown} cannot be used: ${message}`,
        { url: shown },
        { cause: error },
      )
    }
  }

  get isConnected(): boolean {
    return this.#isConnected
  }
  /** How often the connection was cut: nothing that was asked for before is to be waited for. */
  get cuts(): number {
    return this.#cuts
  }
  /** Most bytes of a value with what is around it. */
  get maxPayload(): number {
    return this.#connection.info?.max_payload ?? 2 ** 20
  }

  /** @throws BucketGoneError if there is no such bucket any more; what asking throws */
  async state(): Promise<BucketState> {
    const { created, state } = await this.#manager.streams.info(this.#stream)
    return { created, last: state.last_seq, names: state.num_subjects ?? 0 }
  }

  /** The last revision of each key from `from` on, in their order; then each that is written. */
  async watch(from: number): Promise<Watch> {
    const entries = await this.#kv.watch(from > 1 ? { resumeFromRevision: from } : {})
    return {
      stop: () => entries.stop(),
      waiting: () => entries.getPending(),
      async *[Symbol.asyncIterator]() {
        for await (const entry of entries) yield heard(entry)
      },
    }
  }

  /**
   * Writes, and gives the revision; without a value it deletes.
   *
   * @param expected the last revision of this key, 0 if there never was one; undefined: any
   * @throws JetStreamApiError if it has another one
   */
  async write(
    name: string,
    value: Uint8Array | undefined,
    expected: number | undefined,
    timeout = TIMEOUT_MILLISECONDS,
  ): Promise<number> {
    const expect = expected === undefined ? {} : { expect: { lastSubjectSequence: expected } }
    const subject = `$KV.${this.name}.${name}`
    if (value) return (await this.#client.publish(subject, value, { ...expect, timeout })).seq
    const deleting = headers()
    deleting.set('KV-Operation', 'DEL')
    return (await this.#client.publish(subject, '', { ...expect, timeout, headers: deleting })).seq
  }

  /** The last revision of a key, as the leader of the bucket has it. */
  async find(name: string): Promise<Found | undefined> {
    const message = await this.#manager.streams.getMessage(this.#stream, {
      last_by_subj: `$KV.${this.name}.${name}`,
    })
    if (!message) return undefined
    return { revision: message.seq, isDeleted: isDeletion(message.header.get('KV-Operation')) }
  }

  /** Connects anew, where answers do not come although it is connected. */
  async reconnect(): Promise<void> {
    await this.#connection.reconnect().catch(() => undefined)
  }

  async close(): Promise<void> {
    await this.#connection.close()
  }

  async #listen(): Promise<void> {
    for await (const { type } of this.#connection.status()) {
      if (type !== 'disconnect' && type !== 'reconnect') continue
      this.#isConnected = type === 'reconnect'
      if (type === 'disconnect') this.#cuts++
      this.emit('change')
    }
    this.#isConnected = false
    this.emit('change')
  }
}

async function connected(
  { url, credentials }: BucketOptions,
  shown: string,
  timeout: number,
): Promise<NatsConnection> {
  const { user, pass, token } = loginIn(url)
  const login = {
    ...(token === undefined ? {} : { token }),
    ...(user === undefined ? {} : { user, pass }),
    ...(credentials === undefined ? {} : { authenticator: credsAuthenticator(await fileOf(credentials)) }),
  }
  try {
    return await connect({
      ...login,
      servers: hostsIn(url),
      ...{ timeout, name: 'percpu', pingInterval: PING_MILLISECONDS, maxPingOut: 2 },
      ...{ maxReconnectAttempts: -1, reconnectTimeWait: RECONNECT_MILLISECONDS, ignoreAuthErrorAbort: true },
    })
  } catch (error) {
    const { name, message } = error as Error
    throw new BucketError(
      name === 'AuthorizationError'
        ? `the server at ${shown} does not let this node in: ${message}`
        : `there is no NATS server at ${shown}: ${message}`,
      { url: shown },
      { cause: error },
    )
  }
}

/** Who logs in, from a URL: user and password, or a token. */
function loginIn(url: string): { user?: string; pass?: string; token?: string } {
  const { username, password } = urlOf(url.split(',')[0] ?? '')
  if (username === '') return {}
  const name = decodeURIComponent(username)
  return password === '' ? { token: name } : { user: name, pass: decodeURIComponent(password) }
}
function hostsIn(url: string): string[] {
  return url.split(',').map((server) => urlOf(server).host)
}
function urlOf(text: string): URL {
  return new URL(text.includes('://') ? text : `nats://${text}`)
}

async function fileOf(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file)
  } catch (error) {
    throw new FileError(`the credentials cannot be read: ${(error as Error).message}`, { file })
  }
}

function heard(entry: KvWatchEntry): Heard {
  const { key, revision, delta } = entry
  const value = isDeletion(entry.operation) ? undefined : entry.value
  return { name: key, revision, value, isLast: delta === 0 }
}
function isDeletion(operation: string | undefined): boolean {
  return operation === 'DEL' || operation === 'PURGE'
}
function isWithoutJetStream(error: unknown): boolean {
  const { name, message } = error as Error
  return name === 'JetStreamNotEnabled' || /jetstream.*not enabled|no responders/i.test(message)
}
