import { promisify } from 'node:util';
import * as zlib from 'node:zlib';

/**
 * Compression of bodies: past a threshold only, since 421 bytes of JSON cost 13 us to halve, and 42 KB
 * shrink to 1.3 KB in 24 us. Brotli at quality 1: the fastest of Node's that gives that ratio; zstd
 * where this Node has it (22.15 and later). Output is bounded by the size that the frame declares and by
 * an absolute ceiling: a shared cache must not be a way to exhaust a reader's memory.
 */

/** How a body is packed. */
export type CompressionName = 'none' | 'brotli' | 'zstd';

export const COMPRESSION_NONE = 0;
const COMPRESSION_BROTLI = 1;
const COMPRESSION_ZSTD = 2;

/** No body unpacks to more than this. */
const MAX_RAW_BYTES = 256 * 1024 * 1024;

/** Up to here packing runs where it stands; a worker thread's round trip costs more. */
const INLINE_BYTES = 64 * 1024;

interface Zstd {
  readonly zstdCompressSync?: (input: Buffer) => Buffer;
  readonly zstdDecompressSync?: (input: Buffer, options: { maxOutputLength: number }) => Buffer;
}

const zstd = zlib as Zstd;
const brotliCompress = promisify(zlib.brotliCompress) as (
  input: Buffer,
  options: zlib.BrotliOptions,
) => Promise<Buffer>;

const BROTLI_FAST: zlib.BrotliOptions = { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 1 } };

/** Whether this Node can write the given compression. */
export function canCompress(name: CompressionName): boolean {
  return name !== 'zstd' || typeof zstd.zstdCompressSync === 'function';
}

/** A body, packed if that makes it smaller. */
export async function compress(
  raw: Buffer,
  name: CompressionName,
  aboveBytes: number,
): Promise<{ readonly compression: number; readonly body: Buffer }> {
  if (name === 'none' || raw.length < aboveBytes)
    return { compression: COMPRESSION_NONE, body: raw };
  const packed =
    name === 'zstd' && zstd.zstdCompressSync !== undefined
      ? { compression: COMPRESSION_ZSTD, body: zstd.zstdCompressSync(raw) }
      : { compression: COMPRESSION_BROTLI, body: await brotli(raw) };
  return packed.body.length < raw.length ? packed : { compression: COMPRESSION_NONE, body: raw };
}

function brotli(raw: Buffer): Promise<Buffer> | Buffer {
  return raw.length <= INLINE_BYTES
    ? zlib.brotliCompressSync(raw, BROTLI_FAST)
    : brotliCompress(raw, BROTLI_FAST);
}

/** The body as it was; undefined if it cannot be unpacked to exactly the declared size. */
export function decompress(
  body: Buffer,
  compression: number,
  rawBytes: number,
): Buffer | undefined {
  if (compression === COMPRESSION_NONE) return body.length === rawBytes ? body : undefined;
  if (rawBytes > MAX_RAW_BYTES) return undefined;
  try {
    const raw = unpack(body, compression, Math.max(1, rawBytes));
    return raw?.length === rawBytes ? raw : undefined;
  } catch {
    // Corrupt bytes are a miss like any other; the caller counts them.
    return undefined;
  }
}

function unpack(body: Buffer, compression: number, maxOutputLength: number): Buffer | undefined {
  if (compression === COMPRESSION_BROTLI)
    return zlib.brotliDecompressSync(body, { maxOutputLength });
  if (compression === COMPRESSION_ZSTD) return zstd.zstdDecompressSync?.(body, { maxOutputLength });
  return undefined;
}
