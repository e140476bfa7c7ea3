import type { Server } from '../server/server.js';
import { RedisServer } from './redis-server.js';

/**
 * How often a Sentinel asks servers for their role, and tells the others what it knows. Its own
 * defaults are 10 s and 2 s, and it lets four of the latter pass before it corrects a server that
 * believes itself to be primary: a former primary would need 8 to 18 s to come back as a replica.
 */
const INFO_PERIOD_MS = 1000;
const PUBLISH_PERIOD_MS = 500;

/** One Sentinel. */
export class SentinelServer extends RedisServer {
  constructor(server: Server) {
    super(server, {});
  }

  override async restart(): Promise<void> {
    await super.restart();
    await this.hurry();
  }

  /** Makes it quick; it forgets that when it restarts. Releases before 7.0 keep their own pace. */
  async hurry(): Promise<void> {
    const periods = ['INFO-PERIOD', INFO_PERIOD_MS, 'PUBLISH-PERIOD', PUBLISH_PERIOD_MS];
    try {
      await this.command('SENTINEL', 'DEBUG', ...periods);
    } catch (error) {
      const isUnknown = error instanceof Error && /unknown.*subcommand/i.test(error.message);
      if (!isUnknown) throw error;
    }
  }
}
