/**
 * A first-in, first-out queue whose members carry their own links, so that one can leave from the middle without a
 * search and a turn at the back makes no garbage. A member is in one queue at a time.
 */
export class FifoQueue<Member extends QueueMember> {
  /** The next to leave. */
  #oldest: Member | undefined;
  #newest: Member | undefined;
  size = 0;
  bytes = 0;

  push(member: Member): void {
    member.queue = this;
    member.older = this.#newest;
    if (this.#newest === undefined) this.#oldest = member;
    else this.#newest.newer = member;
    this.#newest = member;
    this.size += 1;
    this.bytes += member.bytes;
  }

  shift(): Member | undefined {
    const member = this.#oldest;
    if (member !== undefined) this.remove(member);
    return member;
  }

  remove(member: Member): void {
    if (member.queue !== this) throw new Error(`${member.key} is not in this queue.`);
    const older = member.older as Member | undefined;
    const newer = member.newer as Member | undefined;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    // A member that somebody still holds must not keep its former neighbours alive.
    member.queue = member.older = member.newer = undefined;
    this.size -= 1;
    this.bytes -= member.bytes;
  }
}

/** What a queue holds. Its links are the queue's to change. */
export class QueueMember {
  queue: object | undefined;
  older: QueueMember | undefined;
  newer: QueueMember | undefined;

  constructor(
    readonly key: string,
    readonly bytes: number,
  ) {}
}
