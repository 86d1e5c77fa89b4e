/**
 * How many threads may compute at once: the cores of the host, or less by the quota of a container.
 * Node before 22.12 knows only the cores.
 */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { codeOf } from './error-code.js'

export interface AvailableCpus {
  readonly cores: number
  /** Cores that the control groups of the process give it, such as 1.5. Undefined: no limit. */
  readonly quota: number | undefined
}

/** @param root where the file system is, for tests */
export function availableCpus(root = '/', cores = availableParallelism()): AvailableCpus {
  const quotas = groupsOf(root).flatMap(({ folder, version }) => quotasAbove(root, folder, version))
  const quota = Math.min(...quotas)
  return { cores, quota: Number.isFinite(quota) ? quota : undefined }
}

/** Threads that have a core each: at least one. */
export function usableCpus({ cores, quota = Infinity }: AvailableCpus): number {
  return Math.max(1, Math.min(cores, Math.floor(quota)))
}

interface Group {
  /** Of the control groups of this version. */
  readonly folder: string
  readonly version: 1 | 2
}

function groupsOf(root: string): Group[] {
  const lines = textOf(join(root, 'proc/self/cgroup')).split('\n')
  return lines.flatMap((line): Group[] => {
    const [, controllers = '', path = '/'] = /^\d+:([^:]*):(.*)$/.exec(line) ?? ['', 'none']
    if (controllers === '') return [{ folder: join('sys/fs/cgroup', path), version: 2 }]
    if (!controllers.split(',').includes('cpu')) return []
    return [{ folder: join('sys/fs/cgroup/cpu', path), version: 1 }]
  })
}

/**
 * The limits of a group and of all around it. In a container the path is often that of the host:
 * then only the topmost folder is there, which is that of the container.
 */
function quotasAbove(root: string, folder: string, version: 1 | 2): number[] {
  const top = version === 2 ? 'sys/fs/cgroup' : 'sys/fs/cgroup/cpu'
  const quotas: number[] = []
  for (let at = folder; at.startsWith(top); at = dirname(at)) {
    const [quota = '', period = ''] =
      version === 2
        ? textOf(join(root, at, 'cpu.max')).split(' ')
        : ['quota', 'period'].map((name) => textOf(join(root, at, `cpu.cfs_${name}_us`)))
    const share = Number(quota) / Number(period)
    // `max`, -1, and no file at all: no limit.
    if (share > 0 && Number.isFinite(share)) quotas.push(share)
  }
  return quotas
}

/** Empty if there is no such file, or it may not be read. */
function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    if (codeOf(error) === undefined) throw error
    return ''
  }
}
