import type { Telemetry } from '@shardline/core';
import type { Result } from './node/execute.js';
import type { Route } from './router.js';

/** Runs a statement inside a span of the database conventions that also says where it went, and why. */
export function traced(
  telemetry: Telemetry,
  text: string,
  run: (onRoute: (route: Route) => void) => Promise<Result>,
): Promise<Result> {
  const operation = /^[\s(]*([a-z]+)/i.exec(text)?.[1]?.toUpperCase() ?? 'SQL';
  const attributes = { 'db.system.name': 'postgresql', 'db.operation.name': operation };
  return telemetry.trace(operation, attributes, (span) =>
    run(({ node, isReplica, reason }) => {
      const { host, port, database } = node.settings.config;
      span.setAttributes({
        'server.address': host ?? '',
        'server.port': Number(port),
        ...(database === undefined ? {} : { 'db.namespace': database }),
        'shardline.pool.node': node.name,
        'shardline.pool.role': isReplica ? 'replica' : 'primary',
        'shardline.pool.reason': reason,
      });
    }),
  );
}
