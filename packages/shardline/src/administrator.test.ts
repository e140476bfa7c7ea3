// biome-ignore-all lint/suspicious/noTemplateCurlyInString: this is what references look like
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  administratorConfigOf,
  administratorRouterOptionsOf,
  rebalancerOptionsOf,
} from './administrator.js';
import { type DataLayerConfig, defineConfig } from './config.js';

const config = defineConfig({
  name: 'shop',
  catalog: 'postgres://app@c/catalog',
  shards: {
    one: { primary: 'postgres://app@s1/shop', replicas: ['postgres://app@r1/shop'] },
    two: { primary: 'postgres://app@s2/shop' },
  },
  keyspaces: { customers: { keyType: 'bigint' } },
  entities: { customers: { table: 'customers', keyspace: 'customers', key: 'customer_id' } },
});

const withAdministration = (
  administration: DataLayerConfig['administration'],
): DataLayerConfig => ({
  ...config,
  ...(administration === undefined ? {} : { administration }),
});

afterEach(() => vi.unstubAllEnvs());

describe('administration of a configuration', () => {
  test('works with the roles of the services where it names no others', () => {
    const options = rebalancerOptionsOf(config);
    expect(options.catalog).toMatchObject({ primary: 'postgres://app@c/catalog' });
    expect(options.shards['two']?.location).toMatchObject({ primary: 'postgres://app@s2/shop' });
    expect(options.keyspaces['customers']).toMatchObject({ tables: { customers: 'customer_id' } });
    expect(options.limits).toEqual({});
  });

  test('uses its own roles, addresses and limits, secrets from the environment', () => {
    vi.stubEnv('OWNER', 'o/p');
    const options = rebalancerOptionsOf(
      withAdministration({
        catalog: 'postgres://owner:${OWNER}@c/catalog',
        shards: {
          two: { primary: 'postgres://owner@s2/shop', peerAddress: 'host=10.0.0.2 port=5' },
        },
        limits: { rollbackWindow: '2h', parallelMoves: 3, longTransactions: 'terminate' },
        lease: '20s',
      }),
    );
    expect(options.catalog).toMatchObject({ primary: 'postgres://owner:o%2Fp@c/catalog' });
    expect(options.shards['one']?.location).toMatchObject({ primary: 'postgres://app@s1/shop' });
    expect(options.shards['two']).toMatchObject({
      location: { primary: 'postgres://owner@s2/shop' },
      peerAddress: 'host=10.0.0.2 port=5',
    });
    expect(options.limits).toEqual({
      rollbackWindow: '2h',
      parallelMoves: 3,
      longTransactions: 'terminate',
    });
    expect(options.lease).toBe('20s');
  });

  test('asks primaries alone', () => {
    const { shards } = administratorConfigOf(config);
    expect(shards['one']).toEqual({ primary: 'postgres://app@s1/shop', replicas: [] });
    expect(administratorRouterOptionsOf(config).shards['one']).not.toHaveProperty('replicas');
  });

  test('names a shard that there is not, and a catalog that is missing, at once', () => {
    const { catalog: _, ...rest } = withAdministration({ shards: { three: { weight: 2 } } });
    expect(() => rebalancerOptionsOf(rest)).toThrow(
      /administration\.shards\.three: is the name of no shard[\s\S]*catalog: is missing/,
    );
  });

  test('names mistyped options with their paths', () => {
    const wrong = {
      limits: { lockTimout: '1s', pauseTimeout: 5 },
      shards: { one: { weight: -1 } },
    };
    expect(() => rebalancerOptionsOf(withAdministration(wrong as never))).toThrow(
      /shards\.one\.weight: must not be below zero[\s\S]*pauseTimeout: 5 has no unit[\s\S]*lockTimout: is no option; did you mean 'lockTimeout'/,
    );
  });

  test('takes no user and no password for the way from shard to shard', () => {
    const administration = { shards: { one: { peerAddress: 'host=a password=b' } } };
    expect(() => rebalancerOptionsOf(withAdministration(administration))).toThrow(
      /peerAddress: must name no user and no password/,
    );
  });
});
