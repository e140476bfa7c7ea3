import * as v from 'valibot';

/** What a row of each table is. Rows are checked where they leave the database, and typed by it. */

export const User = v.object({
  user_id: v.bigint(),
  name: v.string(),
  tier: v.picklist(['premium', 'standard', 'free', 'suspicious']),
  balance: v.bigint(),
  updated_at: v.date(),
});

export const Preferences = v.object({
  user_id: v.bigint(),
  odds: v.string(),
  language: v.string(),
});

export const Bet = v.object({
  creator_id: v.bigint(),
  bet_id: v.string(),
  event_id: v.bigint(),
  stake: v.bigint(),
  placed_at: v.date(),
});

export const LedgerEntry = v.object({
  user_id: v.bigint(),
  entry_id: v.string(),
  bet_id: v.nullable(v.string()),
  amount: v.bigint(),
  created_at: v.date(),
});

export const LiveEvent = v.object({
  event_id: v.bigint(),
  title: v.string(),
  home: v.number(),
  away: v.number(),
});
