/** The parts of memjs 1.3 that are used here; it ships no types. */
declare module 'memjs' {
  import type { Socket } from 'node:net';

  export interface Response {
    readonly header: {
      readonly magic: number;
      readonly status: number;
      readonly opaque: number;
      readonly cas: Buffer;
    };
    readonly val: Buffer;
  }

  export class Server {
    constructor(
      host: string,
      port: number,
      username: string | undefined,
      password: string | undefined,
      options: { timeout: number; conntimeout: number; keepAlive: boolean },
    );
    _socket: Socket | undefined;
    onResponse(opaque: number, callback: (response: Response) => void): void;
    onError(opaque: number, callback: (error: Error) => void): void;
    error(error: Error): void;
    write(request: Buffer): void;
  }

  export const Utils: {
    makeRequestBuffer(
      opcode: number,
      key: string,
      extras: Buffer | string,
      value: Buffer | string,
      opaque: number,
    ): Buffer;
  };
}
