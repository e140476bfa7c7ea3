import { releasePort, reserveThisPort, startOnFreePort } from '../server/free-port.js';

/** Nodes talk to each other this far above the port for clients. */
const BUS_OFFSET = 10_000;

/**
 * Starts a cluster node on a free port whose bus port is free too. Both are held for as long as the
 * node exists, so that it can be restarted; `release` gives the bus port back.
 */
export async function startOnFreePorts<T>(
  start: (port: number, release: () => Promise<void>) => Promise<T>,
): Promise<T> {
  return startOnFreePort(async (port) => {
    const bus = port + BUS_OFFSET;
    await reserveThisPort(bus);
    const release = () => releasePort(bus);
    try {
      return await start(port, release);
    } catch (error) {
      await release();
      throw error;
    }
  });
}
