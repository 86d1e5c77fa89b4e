/**
 * Loops that wait by looking again and again. A loop is one if a turn that has changed no memory
 * leaves the thread as it was before. Then each further turn does the same until another thread
 * changes what the turn has read, and the lab need not try them.
 *
 *     while (Atomics.compareExchange(a, 0, 0, 1) !== 0);
 *
 * So the code of the loop may do nothing that it could remember: no calls but those of `Atomics`,
 * no assignments to what lasts longer than a turn, unless the turn makes them before anything could
 * look. `retries++` makes a loop one that ends by itself. It runs as it is.
 *
 * Getters, and operands that are converted, could remember something. Only the run can tell: it is
 * given the chains of properties that the loop reads (waiting-loop.ts).
 */
import { ts } from './typescript.js'

/** Functions of `Atomics` that access one word, or nothing. */
const accesses = new Set('load store add sub and or xor exchange compareExchange pause'.split(' '))

export type Loop = ts.WhileStatement | ts.DoStatement | ts.ForStatement

/**
 * The chains of properties that a turn reads, as sources of lists (`[this, "words"]`); undefined if
 * the loop is none that waits.
 */
export function chainsOfWaitingLoop(node: ts.Node): readonly string[] | undefined {
  if (!ts.isWhileStatement(node) && !ts.isDoStatement(node) && !ts.isForStatement(node)) return undefined
  // Its variables cannot be seen from outside of it.
  if (ts.isForStatement(node) && node.initializer && ts.isVariableDeclarationList(node.initializer))
    return undefined
  // A labelled loop may be gone on with from elsewhere.
  if (ts.isLabeledStatement(node.parent)) return undefined
  const turn = new Turn()
  return turn.remembersNothing(node) ? [...turn.chains] : undefined
}

/** Walks through one turn of a loop, in the order in which it runs. */
class Turn {
  readonly chains = new Set<string>()
  /** Variables of the turn itself: each turn has new ones. */
  #own = new Set<string>()
  /** Other variables that the turn sets before anything else could look at them. */
  readonly #set = new Set<string>()
  readonly #read = new Set<string>()
  /** Whether the code at hand may be passed over. */
  #maybe = false

  remembersNothing(loop: Loop): boolean {
    if (ts.isDoStatement(loop)) return this.#statement(loop.statement) && this.#expression(loop.expression)
    const condition = ts.isForStatement(loop) ? loop.condition : loop.expression
    if (condition !== undefined && !this.#expression(condition)) return false
    if (condition !== undefined) this.#maybe = true
    if (!this.#statement(loop.statement)) return false
    return !ts.isForStatement(loop) || loop.incrementor === undefined || this.#expression(loop.incrementor)
  }

  #statement(node: ts.Statement): boolean {
    if (ts.isEmptyStatement(node)) return true
    if (ts.isBlock(node)) return this.#block(node)
    if (ts.isExpressionStatement(node)) return this.#expression(node.expression)
    if (ts.isIfStatement(node)) {
      if (!this.#expression(node.expression)) return false
      return this.#perhaps(
        () =>
          this.#statement(node.thenStatement) &&
          (node.elseStatement === undefined || this.#statement(node.elseStatement)),
      )
    }
    if (ts.isVariableStatement(node)) return this.#declarations(node.declarationList)
    if (ts.isBreakStatement(node) || ts.isContinueStatement(node) || ts.isReturnStatement(node)) {
      if (!ts.isReturnStatement(node)) {
        if (node.label !== undefined) return false
      } else if (node.expression !== undefined && !this.#expression(node.expression)) return false
      this.#leaves = true
      this.#maybe = true
      return true
    }
    return false
  }

  #block({ statements }: ts.Block): boolean {
    const before = new Set(this.#own)
    const result = statements.every((statement) => this.#statement(statement))
    // After the block, its names are those of other variables.
    this.#own = before
    return result
  }

  /** Whether a turn may have ended before the code at hand. */
  #leaves = false

  #declarations(list: ts.VariableDeclarationList): boolean {
    if ((list.flags & ts.NodeFlags.BlockScoped) === 0) return false
    if ((list.flags & ts.NodeFlags.Using) !== 0) return false
    return list.declarations.every(({ name, initializer }) => {
      if (!ts.isIdentifier(name) || this.#read.has(name.text) || this.#set.has(name.text)) return false
      this.#own.add(name.text)
      return initializer === undefined || this.#expression(initializer)
    })
  }

  #perhaps(walk: () => boolean): boolean {
    const before = this.#maybe
    this.#maybe = true
    const result = walk()
    this.#maybe = before || this.#leaves
    return result
  }

  #expression(node: ts.Expression): boolean {
    if (isPlain(node)) return true
    if (ts.isParenthesizedExpression(node)) return this.#expression(node.expression)
    if (ts.isPrefixUnaryExpression(node))
      return node.operator !== ts.SyntaxKind.PlusPlusToken && node.operator !== ts.SyntaxKind.MinusMinusToken
        ? this.#expression(node.operand)
        : false
    if (ts.isVoidExpression(node)) return this.#expression(node.expression)
    if (ts.isConditionalExpression(node))
      return (
        this.#expression(node.condition) &&
        this.#perhaps(() => this.#expression(node.whenTrue) && this.#expression(node.whenFalse))
      )
    if (ts.isBinaryExpression(node)) return this.#binary(node)
    if (ts.isCallExpression(node)) return this.#call(node)
    return this.#chain(node)
  }

  #binary({ left, operatorToken: { kind }, right }: ts.BinaryExpression): boolean {
    if (kind === ts.SyntaxKind.EqualsToken) return this.#assignment(left, right)
    if (kind >= ts.SyntaxKind.FirstAssignment && kind <= ts.SyntaxKind.LastAssignment) return false
    // Both call a method of their right-hand side.
    if (kind === ts.SyntaxKind.InKeyword || kind === ts.SyntaxKind.InstanceOfKeyword) return false
    if (!this.#expression(left)) return false
    const shortCuts =
      kind === ts.SyntaxKind.AmpersandAmpersandToken ||
      kind === ts.SyntaxKind.BarBarToken ||
      kind === ts.SyntaxKind.QuestionQuestionToken
    return shortCuts ? this.#perhaps(() => this.#expression(right)) : this.#expression(right)
  }

  #assignment(left: ts.Expression, right: ts.Expression): boolean {
    if (!ts.isIdentifier(left) || !this.#expression(right)) return false
    if (this.#own.has(left.text) || this.#set.has(left.text)) return true
    if (this.#maybe || this.#read.has(left.text)) return false
    this.#set.add(left.text)
    return true
  }

  #call({ expression, arguments: list }: ts.CallExpression): boolean {
    return (
      ts.isPropertyAccessExpression(expression) &&
      expression.questionDotToken === undefined &&
      ts.isIdentifier(expression.expression) &&
      expression.expression.text === 'Atomics' &&
      accesses.has(expression.name.text) &&
      list.every((argument) => this.#expression(argument))
    )
  }

  /** `x`, `this.words`, `this.#at`, `words[0]`, `words[i]`. */
  #chain(node: ts.Expression): boolean {
    const keys: string[] = []
    let root = node
    while (ts.isPropertyAccessExpression(root) || ts.isElementAccessExpression(root)) {
      if (root.questionDotToken !== undefined) return false
      if (ts.isPropertyAccessExpression(root)) {
        if (ts.isPrivateIdentifier(root.name)) break
        keys.unshift(JSON.stringify(root.name.text))
      } else {
        const key = root.argumentExpression
        if (!ts.isNumericLiteral(key) && !ts.isStringLiteral(key) && !ts.isIdentifier(key)) return false
        if (ts.isIdentifier(key)) this.#read.add(key.text)
        keys.unshift(key.getText())
      }
      root = root.expression
    }
    if (!ts.isIdentifier(root) && root.kind !== ts.SyntaxKind.ThisKeyword && !isPrivateField(root))
      return false
    const text = root.getText()
    if (ts.isIdentifier(root) && !this.#set.has(text)) this.#read.add(text)
    // Variables of the turn cannot be seen from outside. They have what the turn has computed.
    if (this.#own.has(text)) return keys.length === 0
    if (keys.some((key) => this.#own.has(key))) return false
    this.chains.add(`[${[text, ...keys].join(', ')}]`)
    return true
  }
}

/** `this.#words`, where #words is no getter. */
function isPrivateField(node: ts.Expression): boolean {
  if (!ts.isPropertyAccessExpression(node) || node.expression.kind !== ts.SyntaxKind.ThisKeyword) return false
  for (let outer: ts.Node = node; !ts.isSourceFile(outer); outer = outer.parent) {
    if (!ts.isClassLike(outer)) continue
    const member = outer.members.find(({ name }) => name !== undefined && name.getText() === node.name.text)
    if (member !== undefined) return ts.isPropertyDeclaration(member)
  }
  return false
}

function isPlain(node: ts.Expression): boolean {
  return (
    ts.isNumericLiteral(node) ||
    ts.isBigIntLiteral(node) ||
    ts.isStringLiteral(node) ||
    node.kind === ts.SyntaxKind.TrueKeyword ||
    node.kind === ts.SyntaxKind.FalseKeyword ||
    node.kind === ts.SyntaxKind.NullKeyword
  )
}
