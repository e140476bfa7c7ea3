/** The built command at a real terminal: a pseudo-terminal of util-linux's `script`, of a given width. */

import { type ChildProcess, spawn } from 'node:child_process';
import { COMMAND } from './command.js';

/** A call at a terminal. */
export interface AtTerminal {
  readonly process: ChildProcess;
  /** Everything that the terminal was sent so far. */
  shown(): string;
  /** What is typed; `CTRL_C` is a key. */
  type(keys: string): void;
  readonly ended: Promise<{ readonly exitCode: number | null; readonly shown: string }>;
}

export const CTRL_C = '\u0003';
const ESCAPE = '\u001b';

/** Starts the command in a folder, at a terminal with so many columns. */
export function startAtTerminal(
  folder: string,
  words: readonly string[],
  { columns, environment = {} }: { columns: number; environment?: Record<string, string> },
): AtTerminal {
  const call = [process.execPath, COMMAND, ...words].map(quote).join(' ');
  const child = spawn(
    'script',
    ['-qec', `stty cols ${columns} rows 24; exec ${call}`, '/dev/null'],
    {
      cwd: folder,
      env: {
        PATH: process.env['PATH'],
        HOME: process.env['HOME'],
        TERM: 'xterm-256color',
        ...environment,
      },
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  // Keys may be pressed when the command has just ended.
  child.stdin.on('error', () => {});
  let shown = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    shown += chunk;
  });
  const ended = new Promise<{ exitCode: number | null; shown: string }>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exitCode) => resolve({ exitCode, shown }));
  });
  return { process: child, shown: () => shown, type: (keys) => child.stdin.write(keys), ended };
}

/**
 * Lines as they were drawn, each time anew: between two moves of the cursor to the beginning of a line, without colours
 * and other codes.
 */
export function drawnLines(shown: string): string[] {
  const codes = new RegExp(`${ESCAPE}\\[[?\\d;]*[A-Za-z]`, 'g');
  const lineBegins = new RegExp(`${ESCAPE}\\[1?G|\\r?\\n`, 'g');
  // The terminal itself shows that Ctrl-C was pressed, wherever the cursor is.
  const echoes = /\^C|\r/g;
  return shown.split(lineBegins).map((line) => line.replace(codes, '').replace(echoes, ''));
}

function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
