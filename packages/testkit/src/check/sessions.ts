/**
 * Does no session go back in time, whichever process and server its operations reach?
 *
 * A session *is* its token: that is all that travels from one process to the next. Tokens fork (one
 * answer, two followers) and merge (a fan-out and its join), so what is judged is not a caller but a
 * graph. Each token stands for floors, one per key: the highest version that was written or read on
 * the way to it. A read that presents a token must not be below the token's floor, and the token it
 * hands out stands for the floors it came with, raised by what it saw.
 *
 * Two operations may hand out the *same* token, since a token is a position and not a name. Whoever
 * presents it is entitled to both histories, so floors of equal tokens are joined, but only from the
 * moment the second was handed out.
 *
 * A write of unknown outcome raises no floor: nothing was promised to it.
 */
import { FloorMap } from './floor-map.js';
import { describeOperation, type History, isWrite, type Operation } from './operation.js';
import { requireField } from './require-field.js';
import { compareNs } from './sorted.js';
import { Findings, type Verdict } from './verdict.js';

interface Observation {
  readonly key: string;
  readonly version: number;
}

/**
 * Judges every operation with a `tokenIn` or `tokenOut`, whatever its kind.
 *
 * Rules: `session-went-back` (a read below the floor of its token), `write-below-floor` (a write whose
 * version is not above what the session had seen: it went to a server that was behind).
 *
 * @throws {MalformedHistoryError} when a read or write that succeeded in a session has no version.
 */
export function checkSessions(history: History): Verdict {
  const inSession = history.operations.filter(
    (operation) => operation.tokenIn !== undefined || operation.tokenOut !== undefined,
  );
  const walk = new SessionWalk(inSession);
  for (const { operation, isReturn } of momentsOf(inSession)) {
    if (isReturn) walk.end(operation);
    else walk.begin(operation);
  }
  return walk.verdict();
}

interface Moment {
  readonly atNs: bigint;
  readonly isReturn: boolean;
  readonly operation: Operation;
}

/** Invocations and successful returns in time; at one stamp returns go first, for they may cause. */
function momentsOf(operations: readonly Operation[]): Moment[] {
  const moments: Moment[] = [];
  for (const operation of operations) {
    moments.push({ atNs: operation.invokedNs, isReturn: false, operation });
    if (operation.outcome !== 'ok' || operation.returnedNs === null) continue;
    moments.push({ atNs: operation.returnedNs, isReturn: true, operation });
  }
  return moments.sort(
    (a, b) => compareNs(a.atNs, b.atNs) || Number(b.isReturn) - Number(a.isReturn),
  );
}

class SessionWalk {
  readonly #findings = new Findings();
  readonly #keys = new Map<string, number>();
  readonly #empty: FloorMap;
  readonly #byToken = new Map<string, FloorMap>();
  readonly #presented = new Map<Operation, FloorMap>();
  readonly #counted = { operations: 0, observations: 0, judged: 0, tokens: 0, strangeTokens: 0 };

  constructor(operations: readonly Operation[]) {
    for (const operation of operations) {
      for (const { key } of observationsOf(operation)) {
        if (!this.#keys.has(key)) this.#keys.set(key, this.#keys.size);
      }
    }
    this.#empty = FloorMap.withRoomFor(this.#keys.size);
  }

  /** What the token stands for when it is presented; what others add to it later does not bind. */
  begin(operation: Operation): void {
    if (this.#presented.has(operation)) return;
    let floors = this.#empty;
    for (const token of tokensOf(operation)) {
      const known = this.#byToken.get(token);
      if (known) floors = floors.merge(known);
      else this.#counted.strangeTokens += 1;
    }
    this.#presented.set(operation, floors);
  }

  end(operation: Operation): void {
    this.begin(operation);
    let floors = this.#presented.get(operation) ?? this.#empty;
    this.#presented.delete(operation);
    this.#counted.operations += 1;
    const before = floors;
    for (const seen of observationsOf(operation)) {
      this.#counted.observations += 1;
      const key = this.#keys.get(seen.key) as number;
      this.#judge(operation, seen, before.get(key));
      floors = floors.raise(key, { version: seen.version, op: operation.op });
    }
    if (operation.tokenOut === undefined) return;
    const known = this.#byToken.get(operation.tokenOut);
    if (!known) this.#counted.tokens += 1;
    this.#byToken.set(operation.tokenOut, known ? known.merge(floors) : floors);
  }

  verdict(): Verdict {
    return this.#findings.verdict(this.#counted);
  }

  #judge(
    operation: Operation,
    seen: Observation,
    floor: { readonly version: number; readonly op: string } | undefined,
  ): void {
    if (!floor) return;
    this.#counted.judged += 1;
    const isTooLow = isWrite(operation)
      ? seen.version <= floor.version
      : seen.version < floor.version;
    if (!isTooLow) return;
    const verb = isWrite(operation) ? 'wrote' : 'read';
    const rule = isWrite(operation) ? 'write-below-floor' : 'session-went-back';
    this.#findings.add(rule, [operation], () => {
      const token = tokensOf(operation).join(', ');
      return (
        `key ${seen.key}: ${describeOperation(operation)} ${verb} version ${seen.version}, but its ` +
        `token (${token}) stands for version ${floor.version}, seen by op ${floor.op}`
      );
    });
  }
}

function tokensOf(operation: Operation): readonly string[] {
  const { tokenIn } = operation;
  if (tokenIn === undefined) return [];
  return typeof tokenIn === 'string' ? [tokenIn] : tokenIn;
}

/** The versions that an operation read or wrote; none unless it succeeded. */
function observationsOf(operation: Operation): Observation[] {
  if (operation.outcome !== 'ok') return [];
  const observations: Observation[] = [];
  for (const row of operation.rows ?? []) {
    if (row.version !== undefined) observations.push({ key: row.key, version: row.version });
  }
  if (operation.key === undefined || !isDataKind(operation)) return observations;
  const version =
    operation.value === null ? (operation.version ?? 0) : requireField(operation, 'version');
  observations.push({ key: operation.key, version });
  return observations;
}

function isDataKind(operation: Operation): boolean {
  return (
    isWrite(operation) ||
    operation.kind === 'read' ||
    operation.kind === 'session-read' ||
    operation.kind === 'cache-read'
  );
}
