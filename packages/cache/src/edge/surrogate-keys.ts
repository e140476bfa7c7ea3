import { createHash } from 'node:crypto';

/**
 * Names by which an edge finds what it keeps of us: one for the key and one for each stamp that the entry
 * depends on (namespace, beginnings and parts of its key, tags). So whatever is invalidated here, a key, a
 * tag or a pattern, is one name there.
 */
export interface EdgeTarget {
  readonly namespace: string;
  /** The key that was invalidated; undefined for a tag, a pattern or a whole namespace. */
  readonly key: string | undefined;
  /** The name under `Surrogate-Key` and `Cache-Tag`. */
  readonly surrogateKey: string;
}

/** Both Fastly and Cloudflare take names of at most so many bytes. */
const MAX_NAME_BYTES = 1024;

/** The name of one key. */
export function targetOfKey(prefix: string, namespace: string, key: string): EdgeTarget {
  return {
    namespace,
    key,
    surrogateKey: nameOf(prefix, namespace, `k/${encodeURIComponent(key)}`),
  };
}

/** The name of one stamp. */
export function targetOfStamp(prefix: string, namespace: string, stamp: string): EdgeTarget {
  const surrogateKey = nameOf(prefix, namespace, `s/${encodeURIComponent(stamp)}`);
  return { namespace, key: undefined, surrogateKey };
}

/** Without blanks and commas, which separate names in the two headers. */
function nameOf(prefix: string, namespace: string, rest: string): string {
  const name = `${prefix}/${namespace}/${rest}`;
  if (name.length <= MAX_NAME_BYTES) return name;
  const hash = createHash('sha256').update(rest).digest('base64url');
  return `${prefix}/${namespace}/#${hash}`;
}
