/** A host for tests: streams that remember, signals that are sent by hand. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable, Writable } from 'node:stream';
import { createRouter } from '@shardline/shard-router';
import type { Rebalancer, RebalancerOptions } from '@shardline/shard-router/rebalance';
import { EXIT, type ExitCode } from '../exit-codes.js';
import type { Host, OutputStream } from '../host.js';
import { run } from '../run.js';
import { expectPublished } from './published-schema.js';

/** What a call of the command has left behind. */
export interface Called {
  readonly exitCode: ExitCode;
  readonly output: string;
  readonly errors: string;
}

/** What the host of a test is made of. */
export interface TestHostOptions {
  readonly rebalancer?: Rebalancer;
  readonly environment?: Record<string, string>;
  readonly isTerminal?: boolean;
  /** Content of `shardline.config.json`; false for no file. */
  readonly config?: object | false;
}

/** A configuration with two shards on the map and a third one to come. */
export const CONFIG = {
  name: 'shop',
  catalog: 'postgres://app:hunter2secret@127.0.0.1:1/catalog',
  shards: {
    one: { primary: 'postgres://app:hunter2secret@127.0.0.1:1/one' },
    two: { primary: 'postgres://app:hunter2secret@127.0.0.1:1/two' },
    three: { primary: 'postgres://app:hunter2secret@127.0.0.1:1/three' },
  },
  keyspaces: { users: { keyType: 'bigint', slots: 16 } },
  entities: { users: { table: 'users', keyspace: 'users', key: 'user_id' } },
};

/** A host, and the command upon it. */
export class TestHost implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'shardline-cli-'));
  readonly #options: TestHostOptions;
  readonly #listeners = new Set<() => void>();
  /** What the rebalancer was opened with. */
  opened: RebalancerOptions | undefined;
  readonly prepared: string[] = [];
  leftWith: number | undefined;
  nowMs = Date.UTC(2026, 10, 24, 12);

  constructor(options: TestHostOptions = {}) {
    this.#options = options;
    const { config = CONFIG } = options;
    if (config !== false) this.write('shardline.config.json', JSON.stringify(config));
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.folder, name), text);
  }

  /** Ctrl-C. */
  interrupt(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  /** Runs the command; what it prints for programs must be as published. */
  async call(...words: string[]): Promise<Called> {
    const output = new Memory(this.#options.isTerminal);
    const errors = new Memory(this.#options.isTerminal);
    const exitCode = await run(words, this.#host(output, errors));
    if (words.includes('--ndjson')) expectPublished(output.text, 'ndjson');
    else if (words.includes('--json')) expectPublished(output.text, 'json');
    if (words.includes('--json') && exitCode === EXIT.fault) expectPublished(errors.text, 'ndjson');
    return { exitCode, output: output.text, errors: errors.text };
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #host(output: OutputStream, errors: OutputStream): Host {
    const { rebalancer, environment = {}, isTerminal = false } = this.#options;
    const input: Host['input'] = Object.assign(isTerminal ? new PassThrough() : Readable.from([]), {
      isTTY: isTerminal,
    });
    return {
      environment,
      folder: this.folder,
      input,
      output,
      errors,
      operator: 'tester',
      now: () => this.nowMs,
      openRebalancer: async (options) => {
        this.opened = options;
        if (rebalancer === undefined) throw new Error('this test has no rebalancer');
        return rebalancer;
      },
      prepareLayerShard: async (_, shard) => {
        this.prepared.push(shard);
      },
      openRouter: createRouter,
      onInterrupt: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
      leave: (exitCode) => {
        this.leftWith = exitCode;
      },
    };
  }
}

class Memory extends Writable {
  text = '';
  readonly isTTY: boolean;
  readonly columns = 100;

  constructor(isTerminal = false) {
    super({ decodeStrings: false });
    this.isTTY = isTerminal;
  }

  override _write(chunk: string | Buffer, _: string, done: () => void): void {
    this.text += String(chunk);
    done();
  }
}
