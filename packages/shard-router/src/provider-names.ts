/** Those whose ways `doctor` knows. */
export const PROVIDERS = [
  'self-hosted',
  'rds',
  'aurora',
  'cloudsql',
  'azure',
  'neon',
  'supabase',
] as const;

/** Who offers the servers. */
export type Provider = (typeof PROVIDERS)[number];
