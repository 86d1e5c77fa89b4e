/**
 * Names for the words of a whole machine of percpu, from the library's own layouts. They also say
 * which words are racy.
 */
import type { Machine, Memory, PlacedStruct } from 'percpu'
import type { Scenario } from './scenario.js'

/**
 * Lets failures call the words of the machine as its structs do: `cpu[1].bell`, `header.directory`.
 * Without names, accesses that the layout allows to race are taken for data races.
 */
export function nameMachine(t: Scenario, machine: Pick<Machine, 'memory' | 'watch'>): void {
  nameStructs(t, machine.memory, machine.watch.structs())
}

/** As {@link nameMachine}, for a machine object that has gone offline since. */
export function nameStructs(t: Scenario, memory: Memory, structs: readonly PlacedStruct[]): void {
  for (const { name, address, struct } of structs) t.name(memory, address, struct, name)
}
