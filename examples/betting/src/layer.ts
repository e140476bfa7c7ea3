import { createDataLayer, initialiseShards } from 'shardline';
import { bettingConfig } from './config.js';
import schema from './schema.sql';
import type { BettingServers } from './servers.js';

/** Prepares new shards, once: the first map of slots, each shard's record, and the tables. */
export async function initialiseBetting(servers: BettingServers): Promise<void> {
  await initialiseShards(bettingConfig(servers));
  await using layer = await openBettingLayer(servers);
  await layer.router.everywhere(schema, [], { id: 'betting-1' });
}

/**
 * Makes servers that joined the configuration later known to it, before any process is given it. They own nothing
 * until slots are moved to them.
 */
export function announceShards(servers: BettingServers): Promise<void> {
  return initialiseShards(bettingConfig(servers));
}

/** The data layer of the betting service. */
export function openBettingLayer(servers: BettingServers) {
  return createDataLayer(bettingConfig(servers));
}

/** The layer as the service sees it. */
export type BettingLayer = Awaited<ReturnType<typeof openBettingLayer>>;
