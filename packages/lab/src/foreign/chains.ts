/**
 * Optional chains with an access that may touch shared memory after their first `?.`.
 *
 * A call around the part before the access would cut the chain in two: `a?.b[i]` would throw where
 * it was undefined. So the chain is turned into one of links, up to its last access; see Link in
 * runtime.ts.
 */
import { ts } from './typescript.js'
import { isElementAccess, isMethod, type Edits } from './syntax.js'

type ChainLink = ts.PropertyAccessExpression | ts.ElementAccessExpression | ts.CallExpression

/** Whether the node is a whole optional chain, and no part of a longer one. */
export function isChainEnd(node: ts.Node): node is ChainLink {
  if (!isLink(node) || !ts.isOptionalChain(node)) return false
  const { parent } = node
  return !(isLink(parent) && parent.expression === node && ts.isOptionalChain(parent))
}

function isLink(node: ts.Node): node is ChainLink {
  return (
    ts.isPropertyAccessExpression(node) || ts.isElementAccessExpression(node) || ts.isCallExpression(node)
  )
}

/**
 * Rewrites the chain that ends here, if it has such an access. The caller visits arguments and
 * keys.
 */
export function rewriteChain(rewriter: Edits, end: ChainLink): void {
  const links = linksOf(end)
  const last = links.findLastIndex((link) => ts.isOptionalChain(link.expression) && touches(link))
  if (last < 0) return
  const first = links[0] as ChainLink
  let beginning = links.slice(0, last)
  let root: ts.Expression = first.expression
  // The callee of `a.b?.(x)` keeps its receiver.
  if (ts.isCallExpression(first) && isLink(root) && !ts.isCallExpression(root) && !isSuper(root)) {
    beginning = [root, ...beginning]
    root = root.expression
  }
  openRoot(rewriter, root, beginning[0]?.questionDotToken !== undefined)
  for (const [index, link] of beginning.entries()) rewriteLink(rewriter, link, index === 0)
  rewriteLast(rewriter, links[last] as ChainLink)
}

function linksOf(end: ChainLink): ChainLink[] {
  const links: ChainLink[] = []
  for (let node: ts.Node = end; isLink(node) && ts.isOptionalChain(node); node = node.expression)
    links.unshift(node)
  return links
}

function isSuper(node: ChainLink): boolean {
  return node.expression.kind === ts.SyntaxKind.SuperKeyword
}

function touches(link: ChainLink): boolean {
  return isElementAccess(link) || (isMethod(link) && isCalled(link))
}

function isCalled(link: ChainLink): boolean {
  return ts.isCallExpression(link.parent) && link.parent.expression === link
}

function openRoot(rewriter: Edits, root: ts.Expression, optional: boolean): void {
  const start = root.getStart()
  rewriter.edits.appendRight(
    start,
    `${rewriter.gap(start)}${rewriter.name}.${optional ? 'optional' : 'link'}(`,
  )
  const receiver = isLink(root) && isSuper(root) ? ', this' : ''
  rewriter.edits.appendLeft(root.getEnd(), `${receiver})`)
}

/** A link before the last becomes a call of a method of Link. */
function rewriteLink({ edits }: Edits, link: ChainLink, first: boolean): void {
  const optional = link.questionDotToken !== undefined
  if (optional && !first) edits.appendLeft(link.expression.getEnd(), '.some()')
  if (ts.isPropertyAccessExpression(link)) {
    const name = link.name.text
    const text = ts.isPrivateIdentifier(link.name)
      ? `read((v) => v.${name})`
      : `${isMethod(link) && isCalled(link) ? 'method' : 'prop'}(${JSON.stringify(name)})`
    edits.update(link.name.getStart(), link.name.getEnd(), text)
    return
  }
  const dot = optional ? '' : '.'
  if (ts.isElementAccessExpression(link)) {
    replaceToken(edits, link, ts.SyntaxKind.OpenBracketToken, `${dot}element(`)
    replaceToken(edits, link, ts.SyntaxKind.CloseBracketToken, ')')
  } else replaceToken(edits, link, ts.SyntaxKind.OpenParenToken, `${dot}call(`)
}

/**
 * The last access is made on the view that the link before gives. The rest of the chain stays as it
 * is.
 */
function rewriteLast({ edits }: Edits, link: ChainLink): void {
  const optional = link.questionDotToken !== undefined
  if (optional) edits.appendLeft(link.expression.getEnd(), '.some()')
  if (ts.isPropertyAccessExpression(link)) {
    const via = link.name.text === 'set' ? 'setter' : 'view'
    edits.update(link.name.getStart(), link.name.getEnd(), `${via}.${link.name.text}`)
  } else replaceToken(edits, link, ts.SyntaxKind.OpenBracketToken, `${optional ? '' : '.'}view[`)
}

function replaceToken(edits: Edits['edits'], link: ChainLink, kind: ts.SyntaxKind, text: string): void {
  const token = link.getChildren().find((child) => child.kind === kind)
  if (token) edits.update(token.getStart(), token.getEnd(), text)
}
