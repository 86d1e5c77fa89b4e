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
