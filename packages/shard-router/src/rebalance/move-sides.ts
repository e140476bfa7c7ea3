/** The sessions of a mover, one on each shard: opened together when the first of them is needed. */

import type { MoveRow } from './move-row.js';
import { MoveSession } from './move-session.js';
import type { MoveRole } from './move-state.js';
import type { MoveSide } from './move-work.js';
import type { MoverOptions } from './mover-options.js';

/** Both sides of a move as they are worked at. */
export type OpenSides = { readonly [Role in MoveRole]: MoveSide };

/** Opens and closes them. */
export class MoveSides {
  readonly #options: Pick<MoverOptions, 'source' | 'destination' | 'peers'>;
  #open: OpenSides | undefined;

  constructor(options: Pick<MoverOptions, 'source' | 'destination' | 'peers'>) {
    this.#options = options;
  }

  /** @throws ShardlineError `MOVE_SUPERSEDED` if a shard has seen a newer generation than the row's. */
  async open(row: MoveRow): Promise<OpenSides> {
    this.#open ??= await this.#openBoth(row);
    return this.#open;
  }

  close(): void {
    this.#open?.source.session.close();
    this.#open?.destination.session.close();
    this.#open = undefined;
  }

  async #openBoth(row: MoveRow): Promise<OpenSides> {
    const opened = await Promise.allSettled([
      this.#openSide('source', row),
      this.#openSide('destination', row),
    ]);
    const [source, destination] = opened;
    if (source.status === 'fulfilled' && destination.status === 'fulfilled') {
      return { source: source.value, destination: destination.value };
    }
    for (const side of opened) if (side.status === 'fulfilled') side.value.session.close();
    throw opened.find((side) => side.status === 'rejected')?.reason;
  }

  async #openSide(role: MoveRole, { id, journal }: MoveRow): Promise<MoveSide> {
    const session = await MoveSession.open(this.#options[role], id, journal.generation);
    try {
      const { rows } = await session.query<{ version: number }>(
        "SELECT current_setting('server_version_num')::integer / 10000 AS version",
      );
      return {
        role,
        shard: journal[role],
        session,
        version: rows[0]?.version ?? 0,
        peerAddress: this.#options.peers[role],
      };
    } catch (error) {
      session.close();
      throw error;
    }
  }
}
