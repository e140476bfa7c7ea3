import { execFileSync } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';
import manifest from '../../package.json' with { type: 'json' };

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

/** Versions of the runtime and of what is measured and compared with. */
export function describeVersions(): Readonly<Record<string, string | undefined>> {
  return { node: process.versions.node, v8: process.versions.v8, ...manifest.dependencies };
}
