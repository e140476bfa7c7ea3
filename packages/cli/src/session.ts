/**
 * One call of the command: its settings, its connections, its questions, its way to stop.
 *
 * The first Ctrl-C fires `signal`: work under way ends at its next safe point. The second leaves at once; the journal then
 * tells whoever comes next where to go on.
 */

import {
  coreErrors,
  durationMs,
  isShardlineError,
  ShardlineError,
  withDeadline,
} from '@shardline/core';
import type { Router, Topology } from '@shardline/shard-router';
import type { Rebalancer } from '@shardline/shard-router/rebalance';
import type { DataLayerConfig } from 'shardline';
import { askYesNo } from './ask.js';
import { findConfig } from './config/find-config.js';
import { loadConfig } from './config/load-config.js';
import { createMask, type Mask, secretsOf } from './config/mask.js';
import { type ResolvedSettings, resolveSettings, withOverrides } from './config/settings.js';
import type { DocumentEvent } from './documents.js';
import { cliErrors } from './errors.js';
import { EXIT } from './exit-codes.js';
import type { Host } from './host.js';
import { type Format, whyNotInteractive } from './interaction.js';
import { createProgressView, type ProgressView } from './output/progress-view.js';
import { restoreTerminal } from './output/restore-terminal.js';
import { createStyle, type Style, wantsColour } from './output/style.js';
import { toJson } from './output/to-json.js';

/** The configuration of a call, complete. */
export interface LoadedConfiguration {
  readonly path: string;
  /** With flags, variables and secrets in their places. */
  readonly config: DataLayerConfig;
  readonly settings: ResolvedSettings;
}

/** Something that cannot be undone, as it is asked about. */
export interface Question {
  /** What is about to be done: `Give up the move 7c1f`. */
  readonly action: string;
  /** What cannot be undone about it, as a sentence. */
  readonly consequence: string;
}

const NOTHING_BEGUN = 'Nothing was begun that would have to be resumed.';
const STOPPING = 'Stopping at the next safe point. Ctrl-C again leaves at once.';

/** One call of the command. */
export class Session {
  readonly host: Host;
  readonly format: Format;
  /** Of standard output. */
  readonly style: Style;
  /** Of standard error. */
  readonly errorStyle: Style;
  readonly #flags: Readonly<Record<string, unknown>>;
  readonly #early: ResolvedSettings;
  readonly #stop = new AbortController();
  readonly #offInterrupt: () => void;
  #loaded: Promise<LoadedConfiguration> | undefined;
  #mask: Mask = createMask();
  #view: ProgressView | undefined;
  /** How to go on after an interruption; said as soon as it is asked for. */
  resumeWith: string | undefined;

  constructor(host: Host, flags: Readonly<Record<string, unknown>>) {
    this.host = host;
    this.#flags = flags;
    this.#early = resolveSettings({ flags, environment: host.environment });
    this.format = this.#early.format.value as Format;
    const wantsNone = flags['color'] === false;
    this.style = createStyle(
      !wantsNone && this.format === 'text' && wantsColour(host.output, host.environment),
    );
    this.errorStyle = createStyle(!wantsNone && wantsColour(host.errors, host.environment));
    this.#offInterrupt = host.onInterrupt(() => this.#interrupt());
  }

  /** Fires when the work under way shall end at its next safe point. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  get isInterrupted(): boolean {
    return this.#stop.signal.aborted;
  }

  /** Takes secrets out of a text: those of the configuration as soon as it is known. */
  readonly mask: Mask = (text) => this.#mask(text);

  close(): void {
    this.#offInterrupt();
  }

  /** The configuration, found and loaded once. */
  configuration(): Promise<LoadedConfiguration> {
    this.#loaded ??= this.#load();
    return this.#loaded;
  }

  /** Works with a rebalancer and closes it again. */
  async withRebalancer<T>(work: (rebalancer: Rebalancer) => Promise<T>): Promise<T> {
    const { config } = await this.configuration();
    const { rebalancerOptionsOf } = await import('shardline');
    const options = { ...rebalancerOptionsOf(config), name: this.host.operator };
    await using rebalancer = await this.answerTo('Opening the catalog', () =>
      this.host.openRebalancer(options),
    );
    return await work(rebalancer);
  }

  /** Works with a router, with the roles of administration, and closes it again. */
  async withRouter<T>(work: (router: Router) => Promise<T>): Promise<T> {
    const { config } = await this.configuration();
    const { administratorRouterOptionsOf } = await import('shardline');
    const options = { ...administratorRouterOptionsOf(config), name: this.host.operator };
    await using router = await this.answerTo('Opening the shards', () =>
      this.host.openRouter(options),
    );
    return await work(router);
  }

  /** The map as the catalog has it, without asking any shard. */
  async topology(): Promise<Topology> {
    const { config } = await this.configuration();
    const { rebalancerOptionsOf } = await import('shardline');
    const { catalog } = rebalancerOptionsOf(config);
    const { loadTopology } = await import('./load-topology.js');
    return this.answerTo('Reading the catalog', () => loadTopology(catalog));
  }

  /** The keyspace that was named, or the only one. @throws ShardlineError `CLI_KEYSPACE_NEEDED`. */
  async keyspace(): Promise<string> {
    const { config, settings } = await this.configuration();
    const names = Object.keys(config.keyspaces ?? {});
    const { value, source } = settings.keyspace;
    if (source !== 'default') return value as string;
    if (names.length === 1) return names[0] as string;
    throw new ShardlineError(
      cliErrors.CLI_KEYSPACE_NEEDED,
      `The configuration has ${names.length} keyspaces: ${names.join(', ')}.`,
    );
  }

  /** One question to the servers: it has a deadline, and Ctrl-C ends it. */
  answerTo<T>(doing: string, work: () => Promise<T>): Promise<T> {
    const timeoutMs = durationMs(this.#early.answerTimeout.value as string);
    return withDeadline({ timeoutMs, signal: this.signal, doing }, work);
  }

  /** What long work reports to. */
  progressView(): ProgressView {
    const view = createProgressView({
      stream: this.host.errors,
      style: this.errorStyle,
      format: this.format,
      now: () => this.host.now(),
      mask: (text) => this.mask(text),
      event: (event) => this.event(event),
    });
    this.#view = view;
    return {
      update: (move) => view.update(move),
      note: (text) => view.note(text),
      close: () => {
        view.close();
        this.#view = undefined;
      },
    };
  }

  /** A line of its own for programs that read along; nothing in other formats. */
  event(event: DocumentEvent): void {
    if (this.format !== 'ndjson') return;
    this.host.output.write(`${this.mask(toJson(event))}\n`);
  }

  /** A remark beside the answer; for people only. */
  note(text: string): void {
    if (this.format !== 'text') return;
    const masked = this.mask(text);
    if (this.#view === undefined) this.host.errors.write(`${masked}\n`);
    else this.#view.note(masked);
  }

  /**
   * Asks before what cannot be undone.
   *
   * @throws ShardlineError `CLI_CONFIRMATION_NEEDED` where nobody can be asked, `CLI_DECLINED` for a no,
   * `CLI_INTERRUPTED` for Ctrl-C.
   */
  async confirm({ action, consequence }: Question): Promise<void> {
    if (this.#early.yes.value === true) return;
    const reason = whyNotInteractive(this.host, this.format);
    if (reason !== undefined) {
      throw new ShardlineError(
        cliErrors.CLI_CONFIRMATION_NEEDED,
        `${action}: ${consequence} Nobody can be asked here, since ${reason}.`,
        { details: { action, reason } },
      );
    }
    const answer = await askYesNo(this.host, this.mask(`${consequence} ${action}?`), this.signal);
    if (answer === undefined) {
      throw new ShardlineError(cliErrors.CLI_INTERRUPTED, 'Stopped by Ctrl-C, before the answer.', {
        remedy: NOTHING_BEGUN,
      });
    }
    if (!answer) throw new ShardlineError(cliErrors.CLI_DECLINED, `${action} was not wanted.`);
  }

  /** An error as it is told: what the interruption caused is told as the interruption. */
  toldAs(error: unknown): unknown {
    if (!this.isInterrupted || !isShardlineError(error, coreErrors.ABORTED.code)) return error;
    return new ShardlineError(cliErrors.CLI_INTERRUPTED, 'Stopped by Ctrl-C.', {
      cause: error,
      ...(this.resumeWith === undefined
        ? { remedy: NOTHING_BEGUN }
        : { remedy: `Take it up again with \`${this.resumeWith}\`.` }),
    });
  }

  async #load(): Promise<LoadedConfiguration> {
    const { environment, folder } = this.host;
    const { config: named } = this.#early;
    const path = findConfig(folder, named.source === 'default' ? undefined : String(named.value));
    const written = await loadConfig(path);
    const file = { path, config: written };
    const settings = resolveSettings({ flags: this.#flags, environment, file });
    const overridden = withOverrides(written, settings);
    const { expandEnvironment } = await import('shardline');
    const config = expandEnvironment(overridden, environment, path);
    this.#mask = createMask(secretsOf(config));
    const found = { ...settings.config, value: path };
    return { path, config, settings: { ...settings, config: found } };
  }

  #interrupt(): void {
    if (this.isInterrupted) {
      // A terminal without a cursor would be what is remembered of it.
      this.#view?.close();
      restoreTerminal(this.host.errors);
      this.host.leave(EXIT.interrupted);
      return;
    }
    const how = this.resumeWith === undefined ? '' : ` Take it up with \`${this.resumeWith}\`.`;
    this.note(`\n${STOPPING}${how}`);
    this.#stop.abort(new Error('Ctrl-C'));
  }
}
