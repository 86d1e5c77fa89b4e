// ESLint rule: shared memory is touched only through `#mem`.
//
// The views of a Memory are opaque types, so `memory.i32[3]` is a type error already. This rule
// closes the other ways: making a view (typed array, DataView) of a shared buffer, and taking the
// buffer out of a Memory. It looks at types: `new Float64Array(16)` and a copy of private bytes are
// fine.

import ts from 'typescript'

const viewName = /^(?:DataView|(?:Big)?(?:Int|Uint|Float)(?:8|16|32|64)(?:Clamped)?Array)$/

export const noSharedViews = {
  meta: {
    type: 'problem',
    schema: [],
    messages: {
      view: 'makes a {{ name }} that may look into shared memory: use the functions of #mem',
      buffer: 'takes the buffer out of a Memory: use the functions of #mem',
    },
  },
  create(context) {
    const services = context.sourceCode.parserServices
    const checker = services.program.getTypeChecker()
    const isMemory = (node) => namesOf(services.getTypeAtLocation(node)).includes('Memory')
    return {
      NewExpression(node) {
        const type = services.getTypeAtLocation(node)
        const name = type.getSymbol()?.getName() ?? ''
        if (viewName.test(name) && checker.getTypeArguments(type).some(mayBeShared)) {
          context.report({ node, messageId: 'view', data: { name } })
        }
      },
      MemberExpression(node) {
        const name = node.computed ? node.property.value : node.property.name
        if (name === 'buffer' && isMemory(node.object)) context.report({ node, messageId: 'buffer' })
      },
      'ObjectPattern > Property'(node) {
        if ((node.key.name ?? node.key.value) === 'buffer' && isMemory(node.parent))
          context.report({ node, messageId: 'buffer' })
      },
    }
  },
}

function mayBeShared(type) {
  return (type.flags & ts.TypeFlags.Any) !== 0 || namesOf(type).includes('SharedArrayBuffer')
}

function namesOf(type) {
  const parts = type.isUnionOrIntersection() ? type.types : [type]
  return parts.flatMap((part) => [part.getSymbol()?.getName(), part.aliasSymbol?.getName()])
}
