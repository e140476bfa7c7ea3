/** The version of the package; all packages of Shardline share one. */
export const VERSION = '0.1.0';
