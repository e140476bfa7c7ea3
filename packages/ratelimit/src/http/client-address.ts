import ipaddr from 'ipaddr.js';

/** How many proxies stand before the service, or which. */
export type TrustedProxies = number | readonly string[];

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** Whose address a request comes from, and what of it counts. */
export type ClientAddressReader = (
  forwardedFor: string | undefined,
  remoteAddress: string | undefined,
) => string;

/**
 * Reads the client's address from the right end of `X-Forwarded-For`, as far as the proxies are
 * trusted: everything further left was written by whoever sent it. IPv6 addresses count by network.
 *
 * @throws RangeError for a range or a prefix that makes no sense.
 */
export function clientAddressReader(
  trusted: TrustedProxies,
  ipv6Prefix: number,
): ClientAddressReader {
  if (!Number.isSafeInteger(ipv6Prefix) || ipv6Prefix < 1 || ipv6Prefix > 128) {
    throw new RangeError(`ipv6Prefix must be a whole number from 1 to 128, received ${ipv6Prefix}`);
  }
  const isTrusted = trustedTest(trusted);
  return (forwardedFor, remoteAddress) => {
    const remote = parse(remoteAddress);
    if (remote === undefined) return 'address:unknown';
    let client = remote;
    let hops = 0;
    const chain = forwardedFor === undefined ? [] : forwardedFor.split(',');
    while (isTrusted(client, hops)) {
      const next = parse(chain.pop());
      if (next === undefined) break;
      client = next;
      hops += 1;
    }
    return `address:${network(client, ipv6Prefix)}`;
  };
}

function trustedTest(trusted: TrustedProxies): (address: Address, hops: number) => boolean {
  if (typeof trusted === 'number') {
    if (!Number.isSafeInteger(trusted) || trusted < 0) {
      throw new RangeError(`trustedProxies must be 0 or more, received ${trusted}`);
    }
    return (_, hops) => hops < trusted;
  }
  const ranges = trusted.map(parseRange);
  return (address) =>
    ranges.some((range) => range[0].kind() === address.kind() && address.match(range));
}

function parseRange(text: string): [Address, number] {
  try {
    if (text.includes('/')) return ipaddr.parseCIDR(text);
    const address = ipaddr.process(text);
    return [address, address.kind() === 'ipv4' ? 32 : 128];
  } catch (cause) {
    throw new RangeError(`trustedProxies: '${text}' is no address or range`, { cause });
  }
}

/** An address, IPv4 out of its IPv6 wrapping; undefined for what is none. */
function parse(text: string | undefined): Address | undefined {
  const trimmed = text?.trim().replace(/^\[([^\]]+)\](:\d+)?$/, '$1') ?? '';
  const bare = /^\d+\.\d+\.\d+\.\d+:\d+$/.test(trimmed) ? trimmed.replace(/:\d+$/, '') : trimmed;
  return ipaddr.isValid(bare) ? ipaddr.process(bare) : undefined;
}

function network(address: Address, ipv6Prefix: number): string {
  if (address.kind() === 'ipv4') return address.toString();
  const base = ipaddr.IPv6.networkAddressFromCIDR(`${address.toString()}/${ipv6Prefix}`);
  return `${base.toString()}/${ipv6Prefix}`;
}
