/** Libraries that come without types and that we are measured against. */
declare module 'hashring' {
  export default class HashRing {
    constructor(
      nodes: readonly string[] | Readonly<Record<string, { weight: number }>>,
      algorithm?: string,
    );
    get(key: string): string;
  }
}

declare module 'consistent-hash' {
  export default class ConsistentHash {
    add(node: string): void;
    get(key: string): string;
  }
}

declare module 'jumphash' {
  export default function jumphash(key: number, buckets: number): number;
}

declare module 'murmurhash3js' {
  const murmurhash3js: { readonly x86: { hash32(text: string): number } };
  export default murmurhash3js;
}
