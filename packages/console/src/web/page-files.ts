/** The files of the page, as they are sent: they are few and small, and held in memory. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FastifyReply, FastifyRequest } from 'fastify'

const folder = fileURLToPath(new URL('../../page/', import.meta.url))
const INDEX = 'index.html'

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/**
 * The page's own scripts and styles, nothing in the document, and no markup that is made of text.
 */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ')

/** Of every answer that a browser may show. */
export const safeHeaders = {
  'content-security-policy': policy,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
} as const

export interface PageFile {
  /** Where it is asked for. */
  readonly path: string
  readonly type: string
  readonly bytes: Buffer
  readonly etag: string
}

export function readPageFiles(): readonly PageFile[] {
  return readdirSync(folder).flatMap((name) => {
    const type = types[extname(name)]
    if (type === undefined) return []
    const bytes = readFileSync(`${folder}${name}`)
    const etag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`
    return [{ path: name === INDEX ? '/' : `/page/${name}`, type, bytes, etag }]
  })
}

/** Browsers ask each time, and are told mostly that nothing has changed. */
export function sendPageFile(
  { etag, type, bytes }: PageFile,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const known = request.headers['if-none-match']?.split(',').map((tag) => tag.trim().replace(/^W\//, ''))
  reply.headers({ ...safeHeaders, etag, 'cache-control': 'no-cache' })
  if (known?.includes(etag)) return reply.code(304).send()
  return reply.type(type).send(bytes)
}
