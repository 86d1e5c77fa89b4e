/** What verify.ts finds: each fault names the equation of layouts.ts that does not hold. */

/** All equations, in the order of layouts.ts. */
export const EQUATIONS = [
  'block.firstFree',
  'block.left',
  'block.right',
  'block.contig',
  'block.scan',
  'whole.firstFree',
  'whole.contig',
  'chunk.index',
  'chunk.flags',
  'chunk.extent',
  'chunk.free',
  'chunk.populated',
  'chunk.empty',
  'chunk.in-use',
  'chunk.bounds',
  'chunk.owned',
  'chunk.mapped',
  'chunk.pages',
  'root.chunks',
  'root.registered',
  'root.populated',
  'root.empty',
  'root.slots',
  'table.entry',
  'table.kept',
  'table.empty',
  'table.count',
  'slot.list',
  'slot.member',
  'slot.size',
] as const
export type Equation = (typeof EQUATIONS)[number]

export class Faults {
  readonly texts: string[] = []

  /** `where`: which part of the memory it is about. */
  add(equation: Equation, where: string, what: string): void {
    this.texts.push(`${equation}: ${where}: ${what}`)
  }
  expect(equation: Equation, where: string, what: string, found: number, expected: number): void {
    if (found !== expected) this.add(equation, where, `${what} is ${found}, should be ${expected}`)
  }
}
