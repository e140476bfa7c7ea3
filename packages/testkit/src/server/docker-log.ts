/** A frame's head: stream, three bytes of nothing, the length of what follows. */
const HEAD_BYTES = 8;

/** The text of a container's log, which Docker gives in frames of standard output and error. Pure. */
export function textOfDockerLog(frames: Buffer): string {
  const parts: Buffer[] = [];
  let offset = 0;
  while (offset + HEAD_BYTES <= frames.length) {
    const end = offset + HEAD_BYTES + frames.readUInt32BE(offset + 4);
    parts.push(frames.subarray(offset + HEAD_BYTES, end));
    offset = end;
  }
  return Buffer.concat(parts).toString('utf8');
}
