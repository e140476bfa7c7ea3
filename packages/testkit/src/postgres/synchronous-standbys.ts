/**
 * The value of synchronous_standby_names for a set of replicas: commits wait for any one of them; an
 * empty set waits for nobody. Pure. Names hold no quotes (serverNameOption).
 */
export function synchronousStandbyNames(names: ReadonlySet<string>): string {
  if (names.size === 0) return '';
  const list = [...names].sort().map((name) => `"${name}"`);
  return `ANY 1 (${list.join(', ')})`;
}
