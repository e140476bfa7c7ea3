import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

/** What the pages point at is there, and a row that says which test checks it quotes a title of that test. */

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const pages = execFileSync(
  'git',
  ['ls-files', '--cached', '--others', '--exclude-standard', '*.md'],
  { cwd: ROOT, encoding: 'utf8' },
)
  .split('\n')
  .filter((page) => page !== '' && !page.startsWith('docs/errors/'));

interface Link {
  readonly text: string;
  readonly target: string;
}

function linksOf(page: string): Link[] {
  const text = readFileSync(join(ROOT, page), 'utf8').replaceAll(/^```[\s\S]*?^```/gm, '');
  return [...text.matchAll(/\[([^\]]*)\]\(([^)\s]+)\)/g)].map(([, label, target]) => ({
    text: label as string,
    target: target as string,
  }));
}

const pathOf = (page: string, target: string) =>
  join(ROOT, dirname(page), target.split('#')[0] as string);

describe.each(pages)('%s', (page) => {
  const links = linksOf(page).filter(({ target }) => !/^(https?:|mailto:|#)/.test(target));

  test('points at what is there', () => {
    expect(
      links.map(({ target }) => target).filter((target) => !existsSync(pathOf(page, target))),
    ).toEqual([]);
  });

  test('points at anchors that are there', () => {
    const missing = links.filter(({ target }) => {
      const [, anchor] = target.split('#');
      if (anchor === undefined) return false;
      const path = pathOf(page, target);
      return !statSync(path).isFile() || !anchorsOf(readFileSync(path, 'utf8')).has(anchor);
    });
    expect(missing).toEqual([]);
  });
});

/** As GitHub makes them of headings. */
function anchorsOf(markdown: string): Set<string> {
  return new Set(
    [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
      (heading as string)
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

describe('the failure modes', () => {
  const rows = linksOf('docs/guides/failure-modes.md').filter(({ target }) =>
    target.endsWith('.test.ts'),
  );

  test('are many', () => {
    expect(rows.length).toBeGreaterThan(25);
  });

  test.each(rows)('$text', ({ text, target }) => {
    const source = readFileSync(pathOf('docs/guides/failure-modes.md', target), 'utf8');
    // Formatting may break a title over lines, never within its quotes.
    expect(source.includes(text), `${target} has no test of this title`).toBe(true);
  });
});
