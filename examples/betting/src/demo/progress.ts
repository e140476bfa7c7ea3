/**
 * Progress in words. On a terminal a line is rewritten in place; in a pipe or a CI log only its last
 * state is printed.
 */
export class Progress {
  readonly #output: NodeJS.WriteStream;
  #open = false;
  #status = '';

  constructor(output: NodeJS.WriteStream = process.stdout) {
    this.#output = output;
  }

  /** Begins a new step. */
  step(text: string): void {
    this.#closeLine();
    this.#output.write(`\n» ${text}\n`);
  }

  /** A fact about the step. */
  note(text: string): void {
    this.#closeLine();
    this.#output.write(`  ${text}\n`);
  }

  /** How far the step has come. */
  tick(done: number, total: number, unit: string): void {
    if (!this.#output.isTTY && done < total) return;
    const percent = Math.floor((100 * done) / total);
    const line = `  ${done.toLocaleString('en')} of ${total.toLocaleString('en')} ${unit} (${percent} %)`;
    this.#output.write(this.#output.isTTY ? `\r\u001b[K${line}` : `${line}\n`);
    this.#open = this.#output.isTTY;
    if (done >= total) this.#closeLine();
  }

  /** How things stand, in words; printed again only when it has changed. */
  status(text: string): void {
    if (text === this.#status) return;
    this.#status = text;
    this.#output.write(this.#output.isTTY ? `\r\u001b[K  ${text}` : `  ${text}\n`);
    this.#open = this.#output.isTTY;
  }

  #closeLine(): void {
    if (this.#open) this.#output.write('\n');
    this.#open = false;
  }
}
