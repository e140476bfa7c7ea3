import { execFileSync } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';

/** What the figures were seen on. */
export function describeMachine() {
  const [first] = cpus();
  return {
    cpu: first?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch} ${release()}`,
    node: process.version,
  };
}

/** The commit that was measured, with a mark if files differ from it; undefined outside a checkout. */
export function describeCommit(): string | undefined {
  try {
    const git = (...parameters: string[]) =>
      execFileSync('git', parameters, {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }).trim();
    const commit = git('rev-parse', '--short', 'HEAD');
    return git('status', '--porcelain') === '' ? commit : `${commit}-modified`;
  } catch {
    // No git, or no checkout: the figures stand without it.
    return undefined;
  }
}
