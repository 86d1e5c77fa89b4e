/**
 * Bodies that are packed: those of requests are unpacked as they come, and answers are packed as
 * they go, each piece so that the client can unpack it at once.
 */
import type { IncomingMessage } from 'node:http'
import type { Transform } from 'node:stream'
import zlib from 'node:zlib'
import Negotiator from 'negotiator'
import { shorten } from '../address/parse.js'
import { AbortedError } from '../errors.js'
import { Refusal } from './refusal.js'

/** Fast rather than small: answers are alike, and are packed while they are made. */
const LEVEL = 1
const ZSTD_LEVEL = 1

type Packing = Transform & { flush(callback: () => void): void }

interface Encoding {
  readonly pack: () => Packing
  readonly unpack: () => NodeJS.ReadWriteStream & { destroy(error?: Error): unknown }
}

/** What Node has from 22.15 on. */
interface WithZstd {
  readonly createZstdCompress?: (options: { params: Record<number, number> }) => Packing
  readonly createZstdDecompress?: (options: {
    params: Record<number, number>
  }) => ReturnType<Encoding['unpack']>
}

const encodings = new Map<string, Encoding>([
  ['gzip', { pack: () => zlib.createGzip({ level: LEVEL }), unpack: () => zlib.createGunzip() }],
  // As HTTP means it: the format of zlib. Some clients send the bare one.
  ['deflate', { pack: () => zlib.createDeflate({ level: LEVEL }), unpack: () => zlib.createUnzip() }],
])
const { createZstdCompress: packZstd, createZstdDecompress: unpackZstd } = zlib as WithZstd
/** ZSTD_c_compressionLevel. */
const ZSTD_LEVEL_PARAMETER = 100
/** ZSTD_d_windowLogMax, and what HTTP allows (RFC 9659): 8 MiB, where the format allows 128. */
const ZSTD_WINDOW_PARAMETER = 100
const ZSTD_WINDOW_BITS = 23
if (packZstd && unpackZstd)
  encodings.set('zstd', {
    pack: () => packZstd({ params: { [ZSTD_LEVEL_PARAMETER]: ZSTD_LEVEL } }),
    unpack: () => unpackZstd({ params: { [ZSTD_WINDOW_PARAMETER]: ZSTD_WINDOW_BITS } }),
  })

/** The encodings that there are, the best one first. */
export const ENCODINGS: readonly string[] = ['zstd', 'gzip', 'deflate'].filter((name) => encodings.has(name))

/** The one in which a client wants its answer; undefined: as it is. */
export function answerEncoding(request: IncomingMessage): string | undefined {
  if (request.headers['accept-encoding'] === undefined) return undefined
  const chosen = new Negotiator(request).encoding([...ENCODINGS, 'identity'])
  return chosen === 'identity' ? undefined : chosen
}

/** That of a request's body; `identity` is none. @throws Refusal if it cannot be unpacked. */
export function encodingOf(request: IncomingMessage): string {
  const given = request.headers['content-encoding']?.trim().toLowerCase() ?? 'identity'
  const name = given === 'x-gzip' ? 'gzip' : given
  if (name === 'identity' || encodings.has(name)) return name
  throw new Refusal(
    415,
    'UNSUPPORTED_ENCODING',
    `content-encoding '${shorten(name)}' is not supported: send ${ENCODINGS.join(', ')}, or the body as it is`,
  )
}

/**
 * The body of a request, unpacked. An error of the packing is thrown where it is read; the request
 * itself stays open, so that it can be answered.
 */
export function unpacked(request: IncomingMessage, encoding: string): Unpacking {
  const unpack = encodings.get(encoding)?.unpack()
  if (!unpack) throw new TypeError(`no encoding ${encoding}`)
  const broken = (error: Error) => unpack.destroy(error)
  request.once('error', broken)
  request.pipe(unpack)
  return {
    bytes: unpack as unknown as AsyncIterable<Uint8Array>,
    end() {
      request.off('error', broken)
      request.unpipe(unpack)
      unpack.destroy()
    },
  }
}
export interface Unpacking {
  readonly bytes: AsyncIterable<Uint8Array>
  /** Unpacks nothing more. */
  end(): void
}

/** A whole answer, packed. */
export async function packedWhole(encoding: string, bytes: Uint8Array): Promise<Buffer> {
  const packer = new Packer(encoding)
  try {
    return Buffer.concat([await packer.pack(bytes), await packer.finish()])
  } finally {
    packer.destroy()
  }
}

/** Packs pieces, one after the other. */
export class Packer {
  readonly #stream: Packing
  #pieces: Buffer[] = []

  constructor(encoding: string) {
    const stream = encodings.get(encoding)?.pack()
    if (!stream) throw new TypeError(`no encoding ${encoding}`)
    this.#stream = stream.on('data', (piece: Buffer) => this.#pieces.push(piece))
  }

  /** All that tells of `bytes`. @throws AbortedError once it is destroyed. */
  async pack(bytes: Uint8Array): Promise<Buffer> {
    await this.#unlessDestroyed((done) => {
      this.#stream.write(bytes)
      this.#stream.flush(done)
    })
    return this.#take()
  }
  /** What ends it all. @throws AbortedError once it is destroyed. */
  async finish(): Promise<Buffer> {
    await this.#unlessDestroyed((done) => this.#stream.once('end', done).end())
    return this.#take()
  }
  /** Lets go of its memory. */
  destroy(): void {
    this.#stream.destroy()
  }

  /** A stream that is destroyed calls nothing back, or not with an error. */
  #unlessDestroyed(work: (done: () => void) => void): Promise<void> {
    const stream = this.#stream
    return new Promise((resolve, reject) => {
      const gone = () => reject(new AbortedError('the client went away'))
      if (stream.destroyed) return gone()
      const settle = (end: () => void) => () => {
        stream.off('error', fail).off('close', close)
        end()
      }
      const fail = (error: Error) => reject(error)
      const close = settle(gone)
      stream.on('error', fail).on('close', close)
      work(settle(resolve))
    })
  }
  #take(): Buffer {
    const bytes = Buffer.concat(this.#pieces)
    this.#pieces = []
    return bytes
  }
}
