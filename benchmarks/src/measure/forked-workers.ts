import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

interface Envelope<Body> {
  readonly number: number;
  readonly body: Body;
}

type Reply<Answer> = Envelope<Answer> | { readonly number: number; readonly error: string };

/**
 * Processes of a fleet, each of which does what it is told and answers.
 *
 * A process that dies or fails fails whoever waits for it; none outlives the scenario.
 */
export class ForkedWorkers<Order, Answer> implements AsyncDisposable {
  #lastNumber = 0;

  private constructor(private readonly children: readonly ChildProcess[]) {}

  /** Starts one process for each list of parameters; all of them serve when this returns. */
  static async start<Order, Answer>(
    program: URL,
    parameters: readonly (readonly string[])[],
  ): Promise<ForkedWorkers<Order, Answer>> {
    const children = parameters.map((own) => fork(fileURLToPath(program), own));
    const workers = new ForkedWorkers<Order, Answer>(children);
    try {
      await Promise.all(children.map((child) => replyOf<Answer>(child, 0)));
    } catch (error) {
      await workers[Symbol.asyncDispose]();
      throw error;
    }
    return workers;
  }

  /** Gives everyone the same order and waits for all answers, in the order of the processes. */
  askAll(order: Order): Promise<Answer[]> {
    return this.askEach(this.children.map(() => order));
  }

  /** Gives the first processes an order each. */
  askEach(orders: readonly Order[]): Promise<Answer[]> {
    this.#lastNumber += 1;
    const number = this.#lastNumber;
    return Promise.all(
      orders.map((body, index) => {
        const child = this.children[index] as ChildProcess;
        const reply = replyOf<Answer>(child, number);
        child.send({ number, body } satisfies Envelope<Order>);
        return reply;
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      this.children.map((child) => {
        if (child.exitCode !== null || child.signalCode !== null) return undefined;
        const ended = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGKILL');
        return ended;
      }),
    );
  }
}

function replyOf<Answer>(child: ChildProcess, number: number): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      child.off('message', onMessage);
      child.off('exit', onExit);
    };
    const onMessage = (message: unknown) => {
      const reply = message as Reply<Answer>;
      if (reply.number !== number) return;
      settle();
      if ('error' in reply) reject(new Error(reply.error));
      else resolve(reply.body);
    };
    const onExit = (code: number | null, signal: string | null) => {
      settle();
      reject(new Error(`A process of the scenario ended early (${signal ?? code}).`));
    };
    child.on('message', onMessage);
    child.once('exit', onExit);
  });
}

/** The other side: says that it serves, then answers each order, until its parent is gone. */
export function serveOrders<Order, Answer>(serve: (order: Order) => Promise<Answer>): void {
  process.on('message', (message) => {
    const { number, body } = message as Envelope<Order>;
    serve(body).then(
      (answer) => process.send?.({ number, body: answer } satisfies Reply<Answer>),
      (error: unknown) =>
        process.send?.({ number, error: String((error as Error).stack) } satisfies Reply<Answer>),
    );
  });
  process.once('disconnect', () => process.exit());
  process.send?.({ number: 0, body: undefined } satisfies Reply<undefined>);
}
