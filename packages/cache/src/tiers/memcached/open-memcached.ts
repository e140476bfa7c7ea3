import { type Clock, checkOptions } from '@shardline/core';
import * as v from 'valibot';
import type { SharedTier } from '../tier.js';
import { MemcachedTier } from './memcached-tier.js';
import { RingTier } from './ring.js';
import { type NodeAddress, SafeMemjs } from './safe-memjs.js';

/** Memcached nodes with credentials. */
export interface MemcachedOptions {
  /** `'10.0.0.1:11211'` each. Every process must name the same ones. */
  readonly servers: readonly string[];
  /** SASL. */
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

/** How to reach Memcached: addresses joined by commas, or options. */
export type MemcachedTarget = string | MemcachedOptions;

const ADDRESS = /^(?:\[([0-9a-fA-F:]+)\]|([A-Za-z0-9_.-]+))(?::(\d{1,5}))?$/;
const DEFAULT_PORT = 11_211;

const schema = v.strictObject({
  servers: v.pipe(
    v.array(v.pipe(v.string(), v.regex(ADDRESS, "must look like '10.0.0.1:11211'"))),
    v.minLength(1, 'must name at least one server'),
  ),
  username: v.optional(v.string()),
  password: v.optional(v.string()),
});

/**
 * The nodes as one tier, each behind a guard of its own: one dead node must not cost the others.
 *
 * @throws ShardlineError `CONFIG_INVALID`, naming every fault.
 */
export function openMemcachedTier(
  target: MemcachedTarget,
  options: {
    readonly timeoutMs: number;
    readonly clock: Clock;
    readonly guard: (node: string, tier: SharedTier) => SharedTier;
  },
): SharedTier {
  const input = typeof target === 'string' ? { servers: target.split(',') } : target;
  const { servers, username, password } = checkOptions(schema, input, 'memcached');
  const nodes = servers.map((server) => {
    const address: NodeAddress = { ...parseAddress(server), username, password };
    const node = new SafeMemjs(address, options.timeoutMs, options.clock);
    const tier = new MemcachedTier(node, options.clock);
    return { name: node.name, tier: options.guard(node.name, tier) };
  });
  return nodes.length === 1 ? (nodes[0] as (typeof nodes)[0]).tier : new RingTier(nodes);
}

function parseAddress(server: string): { host: string; port: number } {
  const [, ipv6, host, port] = ADDRESS.exec(server) ?? [];
  return { host: ipv6 ?? host ?? server, port: port === undefined ? DEFAULT_PORT : Number(port) };
}
