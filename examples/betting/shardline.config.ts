import { bettingConfig } from './src/config.js';
import { serversFromEnvironment } from './src/servers.js';

/** What the command line reads, from this folder: the very configuration of the service. */
export default bettingConfig(serversFromEnvironment());
