import type { SyntaxNode, Tree } from '@lezer/common';
import { parser } from '@prometheus-io/lezer-promql';

/** What a PromQL expression asks for, read by Prometheus's own grammar. */
export interface Query {
  readonly selectors: readonly Selector[];
  /** Labels named by `by` and `on`. */
  readonly groupedBy: ReadonlySet<string>;
  /** Where the text is no PromQL. */
  readonly faults: readonly string[];
}

/** A metric, and what its labels must be. */
export interface Selector {
  readonly metric: string;
  readonly matchers: readonly {
    readonly label: string;
    readonly operator: string;
    value: string;
  }[];
}

/** Reads an expression. Grafana's own variables are filled in first, as Grafana would. */
export function readQuery(expression: string): Query {
  const text = expression.replaceAll('$__rate_interval', '5m');
  const tree = parser.parse(text);
  return {
    selectors: nodesOf(tree, 'VectorSelector').map((node) => readSelector(node, text)),
    groupedBy: new Set(
      nodesOf(tree, 'GroupingLabels')
        .flatMap((node) => node.getChildren('LabelName'))
        .map((node) => text.slice(node.from, node.to)),
    ),
    faults: nodesOf(tree, '⚠').map(
      ({ from }) => `at ${from}: ${text.slice(Math.max(0, from - 20), from + 20)}`,
    ),
  };
}

function readSelector(node: SyntaxNode, text: string): Selector {
  const slice = (part: SyntaxNode | null | undefined) =>
    part === null || part === undefined ? '' : text.slice(part.from, part.to);
  const matchers = node.getChild('LabelMatchers')?.getChildren('UnquotedLabelMatcher') ?? [];
  return {
    metric: slice(node.getChild('Identifier')),
    matchers: matchers.map((matcher) => ({
      label: slice(matcher.getChild('LabelName')),
      operator: slice(matcher.getChild('MatchOp')),
      value: slice(matcher.getChild('StringLiteral')).slice(1, -1),
    })),
  };
}

function nodesOf(tree: Tree, name: string): SyntaxNode[] {
  const found: SyntaxNode[] = [];
  tree.iterate({
    enter: (node) => {
      if (node.name === name) found.push(node.node);
    },
  });
  return found;
}
