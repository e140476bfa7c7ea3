import type { BettingLayer } from './layer.js';

/** What a user wants to bet. The caller makes the id, so that the same bet can be sent twice. */
export interface BetRequest {
  readonly betId: string;
  readonly eventId: bigint;
  readonly stake: bigint;
}

export type BetOutcome = 'placed' | 'already placed' | 'not enough money' | 'no such user';

/**
 * Takes the stake from the balance, writes the ledger and places the bet, all or nothing: user, ledger and bets share a
 * key, and so a shard. If the outcome is unknown (the connection was lost in COMMIT), send it again: a bet
 * of the same id is placed once.
 */
export function placeBet(
  layer: BettingLayer,
  userId: bigint,
  { betId, eventId, stake }: BetRequest,
): Promise<BetOutcome> {
  return layer
    .transaction('users', userId, async (transaction) => {
      const { users, transactions } = layer.entities;
      // The row's lock puts the bets of one user in a line.
      const { rows } = await transaction.query<{ balance: bigint }>(
        'SELECT balance FROM users WHERE user_id = $1 FOR UPDATE',
        [userId],
      );
      const balance = rows[0]?.balance;
      if (balance === undefined) return 'no such user';
      const placed = await transaction.query(
        `INSERT INTO bets (creator_id, bet_id, event_id, stake) VALUES ($1, $2, $3, $4)
       ON CONFLICT (creator_id, bet_id) DO NOTHING`,
        [userId, betId, eventId, stake],
      );
      if (placed.rowCount === 0) return 'already placed';
      if (balance < stake) throw new NotEnoughMoney();
      await users.update(userId, { balance: balance - stake });
      await transactions.insert({ user_id: userId, bet_id: betId, amount: -stake });
      // Waits for the commit; a rollback forgets it.
      await layer.emit('bet.placed', { userId });
      return 'placed';
    })
    .catch((error: unknown): BetOutcome => {
      if (error instanceof NotEnoughMoney) return 'not enough money';
      throw error;
    });
}

/** Thrown within the transaction, so that the bet is rolled back with everything else. */
class NotEnoughMoney extends Error {}
