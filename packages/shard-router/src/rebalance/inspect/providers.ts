/**
 * How each provider of managed PostgreSQL lets a setting or a right be changed.
 *
 * Where a server is one's own, ALTER SYSTEM and a restart do; elsewhere there is a parameter group, a flag or a console,
 * some settings have a name of the provider's, and REPLICATION is given by a role of its own.
 */

import { quoteIdentifier, quoteLiteral } from '@shardline/core';
import { PROVIDERS, type Provider } from '../../provider-names.js';

/** What to do about something, as a finding says it. */
export interface Cure {
  readonly remedy: string;
  readonly sql?: string;
}

/** One provider's ways. */
export interface ProviderProfile {
  readonly name: Provider;
  /** How a setting that needs a restart is changed. */
  setting(name: string, value: string): Cure;
  /** How a role gets the attribute REPLICATION. */
  replicationRight(role: string): Cure;
  /** How a role becomes one that may create subscriptions. */
  subscriptionRight(role: string, majorVersion: number): Cure;
  /** Oldest version in which those who are no superusers (which nobody is there) may create subscriptions. */
  readonly subscriptionsFrom: number;
  /** Why an address is none that replication can use; undefined if nothing speaks against it. */
  addressFault(host: string, port: number): string | undefined;
  /** What everybody who moves data there should know. */
  readonly notes: readonly {
    readonly code: string;
    readonly message: string;
    readonly remedy: string;
  }[];
}

const noFault = () => undefined;

const replicationAttribute = (role: string): Cure => ({
  remedy: `Give role '${role}' the attribute REPLICATION.`,
  sql: `ALTER ROLE ${quoteIdentifier(role)} REPLICATION`,
});

const subscriptionRole = (role: string, majorVersion: number): Cure =>
  majorVersion >= 16
    ? {
        remedy: `Make role '${role}' a member of pg_create_subscription.`,
        sql: `GRANT pg_create_subscription TO ${quoteIdentifier(role)}`,
      }
    : {
        remedy:
          'Before PostgreSQL 16 only a superuser may create subscriptions: name one for this shard.',
      };

const memberOf =
  (group: string) =>
  (role: string): Cure => ({
    remedy: `Make role '${role}' a member of ${group}.`,
    sql: `GRANT ${quoteIdentifier(group)} TO ${quoteIdentifier(role)}`,
  });

/** `wal_level` is not set directly at AWS: `rds.logical_replication` sets it. */
function awsParameter(group: string): (name: string, value: string) => Cure {
  return (name, value) => {
    const [parameter, content] =
      name === 'wal_level' ? ['rds.logical_replication', '1'] : [name, value];
    return {
      remedy: `Set ${parameter} = ${content} in the ${group} and reboot the writer; the parameter is static.`,
    };
  };
}

const PROFILES: Readonly<Record<Provider, ProviderProfile>> = {
  'self-hosted': {
    name: 'self-hosted',
    setting: (name, value) => ({
      remedy: `Set ${name} = ${value} and restart the server.`,
      sql: `ALTER SYSTEM SET ${quoteIdentifier(name)} = ${quoteLiteral(value).trim()}`,
    }),
    replicationRight: replicationAttribute,
    subscriptionRight: subscriptionRole,
    subscriptionsFrom: 16,
    addressFault: noFault,
    notes: [],
  },
  rds: {
    name: 'rds',
    setting: awsParameter('DB parameter group of the instance'),
    replicationRight: memberOf('rds_replication'),
    subscriptionRight: memberOf('rds_superuser'),
    subscriptionsFrom: 15,
    addressFault: awsProxyFault,
    notes: [
      {
        code: 'PROVIDER_PEER_ACCESS',
        message: 'A shard connects to the other shards itself, within the VPC.',
        remedy:
          'Let the security group of each instance admit the other instances on the port of PostgreSQL.',
      },
    ],
  },
  aurora: {
    name: 'aurora',
    setting: awsParameter('DB cluster parameter group'),
    replicationRight: memberOf('rds_replication'),
    subscriptionRight: memberOf('rds_superuser'),
    subscriptionsFrom: 15,
    addressFault: (host) =>
      host.includes('.cluster-ro-')
        ? 'is the reader endpoint of the cluster; moves need the writer'
        : awsProxyFault(host),
    notes: [
      {
        code: 'PROVIDER_PEER_ACCESS',
        message: 'A shard connects to the other shards itself, within the VPC.',
        remedy:
          'Let the security group of each cluster admit the other clusters, and give the cluster endpoints as peer addresses.',
      },
    ],
  },
  cloudsql: {
    name: 'cloudsql',
    setting: (name, value) => {
      const [flag, content] =
        name === 'wal_level' ? ['cloudsql.logical_decoding', 'on'] : [name, value];
      return {
        remedy: `Set the database flag ${flag}=${content} (\`gcloud sql instances patch INSTANCE --database-flags=…,${flag}=${content}\`, with all flags that are to stay); the instance restarts.`,
      };
    },
    replicationRight: replicationAttribute,
    subscriptionRight: memberOf('cloudsqlsuperuser'),
    subscriptionsFrom: 15,
    addressFault: (host) =>
      host.startsWith('/cloudsql/')
        ? 'is the socket of the auth proxy; another instance cannot use it'
        : undefined,
    notes: [
      {
        code: 'PROVIDER_PEER_ACCESS',
        message: 'A shard connects to the other shards itself, past the auth proxy.',
        remedy:
          'Give the private addresses of the instances as peer addresses, and authorise the outgoing address of each on the others.',
      },
    ],
  },
  azure: {
    name: 'azure',
    setting: (name, value) => ({
      remedy: `Set the server parameter ${name} to ${value} (\`az postgres flexible-server parameter set --name ${name} --value ${value} …\`) and restart the server.`,
    }),
    replicationRight: replicationAttribute,
    subscriptionRight: memberOf('azure_pg_admin'),
    subscriptionsFrom: 15,
    addressFault: (_, port) =>
      port === 6432 ? 'is the built-in PgBouncer; replication needs port 5432' : undefined,
    notes: [
      {
        code: 'PROVIDER_WORKERS',
        message:
          'The provider asks for max_worker_processes of at least 16 for logical replication.',
        remedy:
          'Set the server parameter max_worker_processes to 16 or more and restart the server.',
      },
    ],
  },
  neon: {
    name: 'neon',
    setting: (name, value) =>
      name === 'wal_level'
        ? {
            remedy:
              'Enable logical replication in the settings of the project; it restarts all computes and cannot be switched off again.',
          }
        : {
            remedy: `${name} (needed: ${value}) goes with the size of the compute; choose a larger one or ask the provider's support.`,
          },
    replicationRight: (role) => ({
      remedy: `Role '${role}' was made in SQL and cannot replicate: use one that was made in the console, by the CLI or the API, which is a member of neon_superuser.`,
    }),
    subscriptionRight: (role) => ({
      remedy: `Use a role that was made in the console instead of '${role}': it is a member of neon_superuser.`,
    }),
    subscriptionsFrom: 15,
    addressFault: (host) =>
      host.split('.')[0]?.endsWith('-pooler') === true
        ? "is the pooler; replication needs the direct host, without '-pooler'"
        : undefined,
    notes: [
      {
        code: 'PROVIDER_SLOT_EXPIRY',
        message:
          'The provider drops a replication slot that was inactive for about 40 hours while others are active.',
        remedy: 'Do not leave a move paused, or a rollback window open, for longer than a day.',
      },
      {
        code: 'PROVIDER_SCALE_TO_ZERO',
        message:
          'A compute with an active subscriber does not scale to zero; a suspended subscriber falls behind.',
        remedy: 'Switch scale to zero off for the computes of a move while it lasts.',
      },
    ],
  },
  supabase: {
    name: 'supabase',
    setting: (name, value) => ({
      remedy: `Set ${name} = ${value} with \`supabase postgres-config update --config ${name}=${value}\`; the database restarts.`,
    }),
    replicationRight: replicationAttribute,
    subscriptionRight: (role) => ({
      remedy: `Use role 'postgres' instead of '${role}'.`,
    }),
    // The provider lets `postgres` create subscriptions from 17 on only.
    subscriptionsFrom: 17,
    addressFault: (host, port) =>
      host.includes('.pooler.supabase.') || port === 6543
        ? 'is the pooler; replication needs the direct host db.<project>.supabase.co, port 5432'
        : undefined,
    notes: [
      {
        code: 'PROVIDER_IPV6',
        message: 'The direct host is reached by IPv6 unless the project has the IPv4 add-on.',
        remedy: 'Make sure that services and the other shards speak IPv6, or add the IPv4 address.',
      },
    ],
  },
};

function awsProxyFault(host: string): string | undefined {
  return /\.proxy-[a-z0-9]+\./.test(host)
    ? 'is an RDS Proxy, which passes no replication on; use the endpoint of the database'
    : undefined;
}

/** The ways of a provider; undefined for a name that is none. */
export function providerProfile(name: string): ProviderProfile | undefined {
  return (PROVIDERS as readonly string[]).includes(name) ? PROFILES[name as Provider] : undefined;
}

export const selfHosted = PROFILES['self-hosted'];
