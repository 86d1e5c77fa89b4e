/** Where and when a benchmark ran: a number without these says nothing. */
import os from 'node:os'

export function environmentFacts(): [name: string, value: string][] {
  const cpus = os.cpus()
  return [
    ['CPU', `${cpus[0]?.model.trim() ?? 'unknown'}, ${cpus.length} cores`],
    ['Memory', `${(os.totalmem() / 2 ** 30).toFixed(1)} GiB`],
    ['System', `${os.type()} ${os.release()}, ${os.arch()}`],
    ['Node', process.version],
    ['Date', new Date().toISOString().slice(0, 10)],
  ]
}
