import type { StatementExplanation } from '@shardline/shard-router';
import type { Command } from 'commander';
import { type Bind, examples } from '../bind.js';
import { EXIT } from '../exit-codes.js';
import { explanationText } from '../output/explanation-text.js';
import type { Session } from '../session.js';

interface ExplainFlags {
  readonly key?: string;
  readonly param?: string[];
}

/** `shardline explain`. */
export function addExplain(program: Command, bind: Bind): void {
  program
    .command('explain')
    .argument('<sql>', 'one statement')
    .description('Where a statement would go and why. Nothing is run.')
    .option('--key <key>', 'the key that the call would be given')
    .option('--param <value...>', 'values of $1, $2 and so on')
    .addHelpText(
      'after',
      examples(
        "explain 'SELECT * FROM bets WHERE user_id = $1' --param 42",
        "explain 'UPDATE users SET name = $1' --key 42",
      ),
    )
    .action(
      bind(async (session, sql: string, flags: ExplainFlags) => {
        const explanation = await explain(session, sql, flags);
        return {
          kind: 'explain',
          data: { ...explanation },
          text: (style) => explanationText(explanation, style),
          next: [
            explanation.rule === 'refused' ? 'shardline explain SQL --key KEY' : nextOf(flags),
          ],
          exitCode: explanation.rule === 'refused' ? EXIT.attention : EXIT.ok,
        };
      }),
    );
}

/** What the router says of a statement. */
export async function explain(
  session: Session,
  sql: string,
  { key, param = [] }: ExplainFlags,
): Promise<StatementExplanation> {
  const { settings } = await session.configuration();
  const keyspace = settings.keyspace.source === 'default' ? undefined : await session.keyspace();
  return session.withRouter((router) =>
    session.answerTo('Explaining the statement', () =>
      router.explainStatement(sql, param, {
        signal: session.signal,
        ...(key === undefined ? {} : { key }),
        ...(keyspace === undefined ? {} : { keyspace }),
      }),
    ),
  );
}

function nextOf({ key }: ExplainFlags): string {
  return key === undefined ? 'shardline exec SQL' : `shardline exec SQL --key ${key}`;
}
