import { packagedFiles } from './table/load.js'
import type { TableFiles } from './table/read.js'

/**
 * What the licence of the packaged tables (CC BY 4.0) asks to be said wherever they are used.
 * NOTICE has the full text.
 */
export const attribution: readonly string[] = [
  'IP Geolocation by DB-IP, https://db-ip.com',
  'Route Views, https://www.routeviews.org',
  'Number Resource Organization, https://www.nro.net',
  'compiled by ip-location-db, https://github.com/sapics/ip-location-db; licence CC BY 4.0',
]

/** What is to be said of these files: nothing, unless one is of the package. */
export function attributionOf({ ipv4, ipv6 }: TableFiles): readonly string[] {
  const packaged = packagedFilesIfAny()
  return packaged?.ipv4 === ipv4 || packaged?.ipv6 === ipv6 ? attribution : []
}

function packagedFilesIfAny(): TableFiles | undefined {
  try {
    return packagedFiles()
  } catch {
    // Not installed: then no file is one of it.
    return undefined
  }
}
