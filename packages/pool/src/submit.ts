import type pg from 'pg';
import type { Cluster } from './cluster.js';
import { whenQuiet } from './node/connection.js';
import type { RouteRequest } from './router.js';
import type { QueryCall } from './statement-arguments.js';

/** Runs a cursor or a stream, which keeps its connection until it has said all. */
export async function submit(
  { router, observer }: Cluster,
  submittable: pg.Submittable,
  { signal, callback }: QueryCall,
  request: RouteRequest,
  nowMs: number,
): Promise<void> {
  const route = router.tryRoute(request, nowMs) ?? (await router.route(request));
  const { pool } = route.node;
  const connection = pool.tryAcquire() ?? (await pool.acquire({ signal }));
  const done = observer.streaming(route);
  connection.client.query(submittable, callback);
  whenQuiet(connection, () => {
    done();
    pool.release(connection);
  });
}
