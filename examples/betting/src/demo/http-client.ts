import { Agent, request } from 'node:http';

/** An answer, or what kept it from coming. */
export interface Answer {
  /** 0 when there was none. */
  readonly status: number;
  readonly body: string;
  readonly cookie: string | undefined;
  readonly durationMs: number;
}

/** What is asked for. */
export interface Question {
  readonly method?: 'GET' | 'POST' | 'PATCH' | 'PUT';
  readonly url: string;
  readonly body?: unknown;
  readonly cookie?: string | undefined;
}

/** Nothing in the service may take longer; an answer that does counts as none. */
const TIMEOUT_MS = 40_000;

/** Requests over connections that are kept. */
export class HttpClient implements Disposable {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });

  /** Asks, and never throws: an answer that does not come is an answer of status 0. */
  ask({ method = 'GET', url, body, cookie }: Question): Promise<Answer> {
    const started = performance.now();
    return new Promise((resolve) => {
      const end = (status: number, text: string, setCookie?: string) =>
        resolve({
          status,
          body: text,
          cookie: setCookie?.split(';')[0],
          durationMs: performance.now() - started,
        });
      const payload = body === undefined ? undefined : JSON.stringify(body);
      const outgoing = request(
        url,
        {
          method,
          agent: this.#agent,
          timeout: TIMEOUT_MS,
          headers: {
            ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
            ...(cookie === undefined ? {} : { cookie }),
          },
        },
        (incoming) => {
          let text = '';
          incoming.setEncoding('utf8');
          incoming.on('data', (chunk: string) => {
            text += chunk;
          });
          incoming.once('end', () =>
            end(incoming.statusCode ?? 0, text, incoming.headers['set-cookie']?.[0]),
          );
          incoming.once('error', (error) => end(0, error.message));
        },
      );
      outgoing.once('timeout', () => outgoing.destroy(new Error('no answer in time')));
      outgoing.once('error', (error) => end(0, error.message));
      outgoing.end(payload);
    });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}
