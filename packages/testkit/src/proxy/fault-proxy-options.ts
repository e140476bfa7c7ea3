import { type Duration, durationOption, integerOption } from '@shardline/core';
import * as v from 'valibot';
import type { CutEnding, Direction } from './link.js';

/** How a proxy is started. */
export interface FaultProxyOptions {
  /** Port to listen on; a free one if none is given. */
  readonly port?: number;
  /** Where the row of random delays begins; the same seed gives the same row. @default 1 */
  readonly seed?: number;
}

/** Which way a fault lies. */
export interface FaultDirection {
  /** `up` is client to server, `down` server to client. @default 'both' */
  readonly direction?: Direction | 'both';
}

/** How long bytes take. */
export interface LatencyOptions extends FaultDirection {
  /** Up to so much is added, evenly spread, to each portion of bytes; order is kept. @default '0ms' */
  readonly jitter?: Duration;
}

/** Where and how a connection is cut. */
export interface CutOptions {
  /** The direction whose bytes are counted. */
  readonly direction: Direction;
  /**
   * What follows the last byte: both connections are closed in an orderly way, or reset, or stay open
   * with nothing more in this direction until heal(). @default 'close'
   */
  readonly ending?: CutEnding;
  /** After so many connections were cut the fault is over. @default Infinity */
  readonly connections?: number;
}

/** What has gone through. */
export interface ProxyTraffic {
  /** Bytes handed to the server. */
  readonly upBytes: number;
  /** Bytes handed to clients. */
  readonly downBytes: number;
  /** Connections accepted since the start, those that were reset at once included. */
  readonly acceptedConnections: number;
  /** Connections open now on either side. */
  readonly liveConnections: number;
}

export const directionSchema = v.optional(v.picklist(['up', 'down', 'both']), 'both');

export const latencySchema = v.strictObject({
  delay: durationOption(),
  jitter: v.optional(durationOption(), '0ms'),
  direction: directionSchema,
});

export const bandwidthSchema = v.strictObject({
  bytesPerSecond: integerOption(1),
  direction: directionSchema,
});

export const cutSchema = v.strictObject({
  bytes: integerOption(0),
  direction: v.picklist(['up', 'down']),
  ending: v.optional(v.picklist(['close', 'reset', 'silence']), 'close'),
  connections: v.optional(integerOption(1)),
});

export const proxySchema = v.strictObject({
  port: v.optional(integerOption(0, 65_535), 0),
  seed: v.optional(integerOption(0), 1),
});
