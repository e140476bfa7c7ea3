import type { Clock, ScheduledCall } from '@shardline/core';
import memjs, { type Response, type Server } from 'memjs';
import { holdForTurn } from '../hold-for-turn.js';
import { tierUnavailable } from '../tier-unavailable.js';

/**
 * One Memcached node through memjs's connection, with memjs's known faults kept away.
 *
 * 1. A server that closes in the middle of an answer leaves memjs's caller waiting for ever, and what came
 *    of that answer stays in its buffer: every later connection is misread until the process restarts
 *    (memcachier/memjs#117, #89). Here every operation has its own deadline, and after any fault (deadline,
 *    error, close) the whole `Server` object is thrown away with its buffer and its callbacks.
 * 2. memjs's sequence turns negative after 2^31 operations and then every one throws. Here the number
 *    is ours and begins again long before.
 * 3. `hash % n` moves nearly all keys when a node is added, and a dead node's keys go to its neighbour,
 *    to be served stale when it returns. Here each node is spoken to alone; see `ring.ts`.
 * 4. memjs has no compare-and-set. The request's header has a place for it, which is written here.
 *
 * Only `Server`, `makeRequestBuffer` and their parser are used.
 */
export interface NodeAddress {
  readonly host: string;
  readonly port: number;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

export const Opcode = { Get: 0x00, Set: 0x01, Add: 0x02, Delete: 0x04 } as const;
export const Status = { Ok: 0, NotFound: 1, Exists: 2, TooLarge: 3, NotStored: 5 } as const;

export interface Request {
  readonly opcode: number;
  readonly key: string;
  readonly value?: Buffer | undefined;
  /** Seconds, or a moment in Unix seconds; written for Set and Add. */
  readonly expiration?: number | undefined;
  /** Eight bytes: the state that must stand there. */
  readonly cas?: Buffer | undefined;
}

export interface Reply {
  readonly status: number;
  readonly cas: Buffer;
  readonly value: Buffer;
}

interface Outstanding {
  readonly timer: ScheduledCall;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

const RESPONSE_MAGIC = 0x81;
const CAS_OFFSET = 16;
const LAST_OPAQUE = 0x3fffffff;
const MAX_OUTSTANDING = 10_000;

export class SafeMemjs {
  readonly name: string;
  readonly #address: NodeAddress;
  readonly #timeoutMs: number;
  readonly #clock: Clock;
  readonly #outstanding = new Map<number, Outstanding>();
  #server: Server | undefined;
  #opaque: number;
  #isClosed = false;

  constructor(address: NodeAddress, timeoutMs: number, clock: Clock, firstOpaque = 1) {
    this.name = `${address.host}:${address.port}`;
    this.#address = address;
    this.#timeoutMs = timeoutMs;
    this.#clock = clock;
    this.#opaque = firstOpaque;
  }

  /** Operations that have not been answered. */
  get outstanding(): number {
    return this.#outstanding.size;
  }

  /** @throws ShardlineError `CACHE_TIER_UNAVAILABLE`: what was asked may or may not have been done. */
  send(request: Request): Promise<Reply> {
    if (this.#isClosed) return Promise.reject(this.#unavailable('the cache was closed'));
    if (this.#outstanding.size >= MAX_OUTSTANDING) {
      return Promise.reject(this.#unavailable(`${MAX_OUTSTANDING} operations are unanswered`));
    }
    return new Promise((resolve, reject) => {
      const opaque = this.#nextOpaque();
      const late = () => this.#drop(`no answer within ${this.#timeoutMs} ms`);
      const timer = this.#clock.schedule(this.#timeoutMs, late, true);
      this.#outstanding.set(opaque, { timer, resolve, reject });
      this.#write(opaque, request);
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#drop('the cache was closed');
  }

  #write(opaque: number, request: Request): void {
    const server = this.#connected();
    server.onResponse(opaque, (response) => this.#answer(server, opaque, response));
    server.onError(opaque, (error) => this.#drop(error.message, server));
    holdForTurn(server._socket);
    server.write(encode(opaque, request));
    this.#watch(server);
  }

  #connected(): Server {
    const { host, port, username, password } = this.#address;
    // The deadlines are ours; memjs's are set beyond them so that they never come first.
    const beyondSeconds = (this.#timeoutMs * 4) / 1000;
    this.#server ??= new memjs.Server(host, port, username, password, {
      timeout: beyondSeconds,
      conntimeout: beyondSeconds,
      keepAlive: true,
    });
    return this.#server;
  }

  readonly #watched = new WeakSet<object>();

  /** A connection that ends takes everything unanswered with it; memjs does not say so. */
  #watch(server: Server): void {
    const socket = server._socket;
    if (socket === undefined || this.#watched.has(socket)) return;
    this.#watched.add(socket);
    socket.setNoDelay(true);
    socket.on('close', () => this.#drop('the connection was closed', server));
  }

  #answer(server: Server, opaque: number, { header, val }: Response): void {
    if (header.magic !== RESPONSE_MAGIC) {
      this.#drop('the answer is not of the Memcached protocol', server);
      return;
    }
    const waiting = this.#outstanding.get(opaque);
    if (waiting === undefined) return;
    this.#outstanding.delete(opaque);
    waiting.timer.cancel();
    // The parser's buffers are views of one that is reused.
    const reply = { status: header.status, cas: Buffer.from(header.cas), value: Buffer.from(val) };
    waiting.resolve(reply);
  }

  /** Throws the connection away, with all that waits on it. */
  #drop(why: string, server = this.#server): void {
    if (server === undefined || server !== this.#server) return;
    this.#server = undefined;
    const waiting = [...this.#outstanding.values()];
    this.#outstanding.clear();
    server._socket?.destroy();
    server.error(new Error(why));
    const error = this.#unavailable(why);
    for (const { timer, reject } of waiting) {
      timer.cancel();
      reject(error);
    }
  }

  #nextOpaque(): number {
    do {
      this.#opaque = this.#opaque >= LAST_OPAQUE ? 1 : this.#opaque + 1;
    } while (this.#outstanding.has(this.#opaque));
    return this.#opaque;
  }

  #unavailable(why: string) {
    return tierUnavailable('l3', `Memcached ${this.name}: ${why}`);
  }
}

function encode(opaque: number, { opcode, key, value, expiration, cas }: Request): Buffer {
  const request = memjs.Utils.makeRequestBuffer(
    opcode,
    key,
    expiration === undefined ? '' : storageExtras(expiration),
    value ?? '',
    opaque,
  );
  cas?.copy(request, CAS_OFFSET);
  return request;
}

/** Flags (none) and expiration, as Set and Add want them. */
function storageExtras(expiration: number): Buffer {
  const extras = Buffer.alloc(8);
  extras.writeUInt32BE(expiration, 4);
  return extras;
}
