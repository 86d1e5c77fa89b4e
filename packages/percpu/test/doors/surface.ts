/**
 * The public operations of the package, as its types declare them: what a program can call, read or
 * set. Made by the compiler from the declarations that are published.
 */
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

export type DoorForm = 'function' | 'method' | 'getter' | 'setter'

/** One operation of the API. */
export interface Door {
  /** `boot`, `Mutex.lock`, `Percpu()` for a call of the object itself. */
  readonly name: string
  readonly form: DoorForm
  /** Whether all of its signatures return a promise. */
  readonly isAsync: boolean
  /** Those of the longest signature. */
  readonly parameters: readonly Parameter[]
}
export interface Parameter {
  readonly name: string
  /** The properties of an options object; undefined for anything else. */
  readonly fields: readonly string[] | undefined
}

const entry = fileURLToPath(new URL('../../dist/index.d.ts', import.meta.url))

/** Every public operation, and the names of the error classes, whose constructors are none. */
export function readSurface(): { readonly doors: readonly Door[]; readonly errors: readonly string[] } {
  const program = ts.createProgram([entry], {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2022,
    lib: ['lib.es2024.d.ts', 'lib.esnext.disposable.d.ts'],
    types: [],
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: true,
  })
  const checker = program.getTypeChecker()
  const source = program.getSourceFile(entry)
  const module = source && checker.getSymbolAtLocation(source)
  if (!source || !module) throw new Error(`no module: ${entry}`)
  const reader = new Reader(checker, source)
  for (const each of checker.getExportsOfModule(module)) reader.add(each)
  return reader
}

class Reader {
  readonly doors: Door[] = []
  readonly errors: string[] = []
  readonly #checker: ts.TypeChecker
  readonly #source: ts.SourceFile

  constructor(checker: ts.TypeChecker, source: ts.SourceFile) {
    this.#checker = checker
    this.#source = source
  }

  add(exported: ts.Symbol): void {
    const symbol =
      (exported.flags & ts.SymbolFlags.Alias) === 0 ? exported : this.#checker.getAliasedSymbol(exported)
    const { name } = exported
    if ((symbol.flags & ts.SymbolFlags.Function) !== 0) {
      const type = this.#checker.getTypeOfSymbol(symbol)
      this.#push(name, 'function', type.getCallSignatures())
    }
    if ((symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface | ts.SymbolFlags.TypeAlias)) === 0)
      return
    const type = this.#checker.getDeclaredTypeOfSymbol(symbol)
    if (this.#isError(type)) {
      this.errors.push(name)
      return
    }
    if (type.getCallSignatures().length > 0 && (symbol.flags & ts.SymbolFlags.Interface) !== 0)
      this.#push(`${name}()`, 'method', type.getCallSignatures())
    // Another name of something that has its own.
    const isAlias = (symbol.flags & ts.SymbolFlags.TypeAlias) !== 0
    if (isAlias && (!isObject(type) || type.getSymbol()?.name === 'Struct')) return
    for (const member of this.#checker.getPropertiesOfType(type)) this.#addMember(name, member)
    if ((symbol.flags & ts.SymbolFlags.Class) !== 0) this.#addConstructor(name, symbol)
  }

  /** Only of classes that users may make instances of themselves. */
  #addConstructor(name: string, symbol: ts.Symbol): void {
    const declaration = symbol.valueDeclaration
    if (!declaration || !ts.isClassDeclaration(declaration)) return
    if (!declaration.members.some((member) => ts.isConstructorDeclaration(member))) return
    const type = this.#checker.getTypeOfSymbol(symbol)
    this.#push(`new ${name}`, 'function', type.getConstructSignatures())
  }

  #addMember(owner: string, member: ts.Symbol): void {
    const declaration = member.declarations?.find((each) =>
      each.getSourceFile().fileName.includes('/percpu/dist/'),
    )
    if (declaration && ts.getCombinedModifierFlags(declaration) & HIDDEN) return
    // A mapped type's properties have no declaration of their own, or that of its source.
    const isOurs = declaration !== undefined || member.declarations === undefined
    const name = nameOf(member)
    if (!isOurs || name === undefined) return
    const isGetter = (member.flags & ts.SymbolFlags.GetAccessor) !== 0
    const type = this.#checker.getTypeOfSymbolAtLocation(member, this.#source)
    const signatures = this.#checker.getNonNullableType(type).getCallSignatures()
    if (!isGetter && signatures.length > 0) {
      this.#push(`${owner}.${name}`, 'method', signatures)
      return
    }
    const { flags } = member
    const isAccessor = (flags & ts.SymbolFlags.Accessor) !== 0
    if (isGetter) this.#push(`${owner}.${name}`, 'getter', [])
    const isSet = isAccessor
      ? (flags & ts.SymbolFlags.SetAccessor) !== 0
      : declaration !== undefined &&
        (ts.getCombinedModifierFlags(declaration) & ts.ModifierFlags.Readonly) === 0 &&
        (ts.isPropertyDeclaration(declaration) || ts.isPropertySignature(declaration))
    if (isSet) this.#push(`${owner}.${name} =`, 'setter', [])
  }

  #push(name: string, form: DoorForm, signatures: readonly ts.Signature[]): void {
    const [longest] = [...signatures].sort((a, b) => b.parameters.length - a.parameters.length)
    const parameters = (longest?.parameters ?? []).map((each) => this.#parameter(each))
    const isAsync =
      signatures.length > 0 &&
      signatures.every((each) => each.getReturnType().getSymbol()?.getName() === 'Promise')
    this.doors.push({ name, form, isAsync, parameters })
  }

  #parameter(symbol: ts.Symbol): Parameter {
    const type = this.#checker.getNonNullableType(
      this.#checker.getTypeOfSymbolAtLocation(symbol, this.#source),
    )
    const name = (type.aliasSymbol ?? type.getSymbol())?.getName() ?? ''
    const isOptions = /(?:Options|Request|Contracts|Callbacks)$/.test(name)
    const fields = isOptions ? this.#checker.getPropertiesOfType(type).map((each) => each.name) : undefined
    return { name: symbol.name, fields }
  }

  #isError(type: ts.Type): boolean {
    for (let each: ts.Type | undefined = type; each; each = each.getBaseTypes()?.[0])
      if (each.getSymbol()?.name === 'PercpuError') return true
    return false
  }
}

const HIDDEN = ts.ModifierFlags.Private | ts.ModifierFlags.Protected

function isObject(type: ts.Type): boolean {
  return (type.flags & ts.TypeFlags.Object) !== 0
}

/** As programs write it; undefined for what they cannot. */
function nameOf({ escapedName }: ts.Symbol): string | undefined {
  const name = String(escapedName)
  if (name.startsWith('__#')) return undefined
  const known = /^__@(\w+)@/.exec(name)?.[1]
  if (known === undefined) return name
  return known === 'inspect' || known === 'structOf' ? undefined : `[Symbol.${known}]`
}
