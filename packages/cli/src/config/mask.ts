/**
 * Keeps secrets out of everything that is printed.
 *
 * Two nets, one behind the other. The first knows what secrets look like: the password of a URL, `password=` in a
 * connection string. The second knows the secrets of this configuration by their letters and finds them wherever an error
 * or a server may have put them. A password that is also a public word of the configuration (user `app`,
 * password `app`) is left to the first net: it protects nothing, and half of the output would be stars.
 */

const STARS = '***';

/** Takes secrets out of a text. */
export type Mask = (text: string) => string;

/** Shorter ones occur in any text by chance. */
const SHORTEST_SECRET = 4;

/** A mask that knows the given secrets beside what secrets look like. */
export function createMask(secrets: Iterable<string> = []): Mask {
  const known = [...new Set(secrets)]
    .filter((secret) => secret.length >= SHORTEST_SECRET)
    .sort((a, b) => b.length - a.length);
  return (text) =>
    known.reduce((masked, secret) => masked.replaceAll(secret, STARS), byShape(text));
}

function byShape(text: string): string {
  return text
    .replace(/([a-z][a-z0-9+.-]*:\/\/[^\s:/@'"]*):[^\s@'"]*@/gi, `$1:${STARS}@`)
    .replace(/([?&](?:password|sslpassword)=)[^&\s'"]*/gi, `$1${STARS}`)
    .replace(/(\bpassword\s*=\s*)('(?:[^'\\]|\\.|'')*'|[^\s'"&)]+)/gi, `$1${STARS}`);
}

/** Masks every text within plain data. */
export function maskData(value: unknown, mask: Mask): unknown {
  if (typeof value === 'string') return mask(value);
  if (Array.isArray(value)) return value.map((item) => maskData(item, mask));
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [key, maskData(member, mask)]),
  );
}

/** The secrets of a configuration: passwords of its URLs, and what stands under a name that says so. */
export function secretsOf(config: unknown): string[] {
  const secrets = new Set<string>();
  const publicWords = new Set<string>();
  collect(config, undefined, secrets, publicWords);
  return [...secrets].filter((secret) => !publicWords.has(secret));
}

const SECRET_NAMES = /password|secret|token/i;

function collect(
  value: unknown,
  name: string | undefined,
  secrets: Set<string>,
  publicWords: Set<string>,
): void {
  if (typeof value === 'string') {
    if (name !== undefined && SECRET_NAMES.test(name)) secrets.add(value);
    else if (URL.canParse(value)) collectUrl(new URL(value), secrets, publicWords);
    else publicWords.add(value);
  } else if (Array.isArray(value)) {
    for (const item of value) collect(item, name, secrets, publicWords);
  } else if (typeof value === 'object' && value !== null && !('~standard' in value)) {
    for (const [key, member] of Object.entries(value)) {
      publicWords.add(key);
      collect(member, key, secrets, publicWords);
    }
  }
}

function collectUrl(url: URL, secrets: Set<string>, publicWords: Set<string>): void {
  for (const secret of [url.password, url.searchParams.get('password') ?? '']) {
    if (secret === '') continue;
    secrets.add(secret);
    secrets.add(decoded(secret));
  }
  for (const word of [url.username, url.hostname, url.pathname.slice(1)]) publicWords.add(word);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A stray percent sign: the text is what it is.
    return text;
  }
}
