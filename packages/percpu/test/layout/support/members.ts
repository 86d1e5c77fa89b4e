/** Struct definitions from the spelling that tools/layout-abi.mjs uses: `be u16 name[3][2] @64`. */
import {
  aligned,
  array,
  big,
  f32,
  f64,
  i16,
  i32,
  i8,
  struct,
  u16,
  u32,
  u64,
  u8,
  type AnyStruct,
  type FieldSpec,
  type Type,
} from 'percpu'

export const scalars = { u8, i8, u16, i16, u32, i32, u64, f32, f64 }
export const wideScalars = { u16, i16, u32, i32, u64, f32, f64 }

export function defineFrom(
  name: string,
  members: readonly string[],
  known: ReadonlyMap<string, AnyStruct>,
): AnyStruct {
  const fields: Record<string, FieldSpec> = {}
  for (const member of members) {
    const match = /^(be |struct )?(\w+) (\w+)((?:\[\d+\])*)(?: @(\d+))?$/.exec(member)
    if (match === null) throw new Error(`cannot read member '${member}'`)
    const [, prefix, typeName = '', fieldName = '', dimensions = '', alignment] = match
    let type = typeOf(prefix, typeName, known)
    for (const length of [...dimensions.matchAll(/\d+/g)].map(Number).reverse()) type = array(type, length)
    fields[fieldName] = alignment === undefined ? type : aligned(type, Number(alignment))
  }
  return struct(name, fields)
}

function typeOf(prefix: string | undefined, name: string, known: ReadonlyMap<string, AnyStruct>): Type {
  if (prefix === 'struct ') {
    const found = known.get(name)
    if (found === undefined) throw new Error(`no struct ${name}`)
    return found
  }
  if (prefix === 'be ') return big(wideScalars[name as keyof typeof wideScalars])
  return scalars[name as keyof typeof scalars]
}
