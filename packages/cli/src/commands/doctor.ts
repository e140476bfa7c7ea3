import { isShardlineError } from '@shardline/core';
import type { Finding } from '@shardline/shard-router/rebalance';
import type { Command } from 'commander';
import { type Bind, examples } from '../bind.js';
import { EXIT } from '../exit-codes.js';
import { describeError } from '../output/describe-error.js';
import { countFindings, findingsText, hasBlockers, sortFindings } from '../output/findings-text.js';
import type { Session } from '../session.js';

/** `shardline doctor`. */
export function addDoctor(program: Command, bind: Bind): void {
  program
    .command('doctor')
    .description(
      'Everything that would keep a move from working, at once, each with what mends it.',
    )
    .addHelpText('after', examples('doctor', 'doctor --provider rds', 'doctor --json'))
    .action(
      bind(async (session) => {
        const { settings, path } = await session.configuration();
        const provider = String(settings.provider.value);
        const findings = sortFindings(await examine(session, provider));
        const isBlocked = hasBlockers(findings);
        return {
          kind: 'doctor',
          data: { provider, config: path, isReady: !isBlocked, findings },
          text: (style) =>
            findings.length === 0
              ? style.green('Nothing stands in the way of a move.')
              : `${findingsText(findings, style)}\n\n${countFindings(findings)}.`,
          next: isBlocked ? ['shardline doctor'] : ['shardline status', 'shardline plan --check'],
          exitCode: isBlocked ? EXIT.attention : EXIT.ok,
        };
      }),
    );
}

/** A catalog that cannot be opened is a finding too: the doctor comes above all when something does not work. */
async function examine(session: Session, provider: string): Promise<readonly Finding[]> {
  let isOpen = false;
  try {
    return await session.withRebalancer((rebalancer) => {
      isOpen = true;
      return session.answerTo('Examining the servers', () => rebalancer.doctor({ provider }));
    });
  } catch (error) {
    if (isOpen || session.isInterrupted || isShardlineError(error, 'CONFIG_INVALID')) throw error;
    const { code, message, remedy } = describeError(error);
    return [
      {
        code,
        severity: 'blocker',
        shard: 'catalog',
        subject: 'connection',
        message,
        remedy: code === 'CATALOG_MISSING' ? 'Run `shardline init --apply`.' : remedy,
      },
    ];
  }
}
