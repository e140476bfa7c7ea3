import type { Finding } from '../finding.js';
import type { MoveContext, ShardEndpoint } from '../move-context.js';
import { tryPeerConnection } from '../peer-connection.js';
import { FindingList } from './judge-server.js';

/** Whether the servers of a move reach each other, both ways; nothing is tried without their addresses. */
export function peerFindings(
  { source, destination }: MoveContext,
  peers: { readonly source: string; readonly destination: string } | undefined,
): Promise<Finding[]>[] {
  if (peers === undefined) return [];
  return [
    peerFinding(destination, source, peers.source),
    peerFinding(source, destination, peers.destination),
  ];
}

async function peerFinding(
  from: ShardEndpoint,
  to: ShardEndpoint,
  conninfo: string,
): Promise<Finding[]> {
  const found = new FindingList(from.name);
  const connection = await tryPeerConnection(from, conninfo);
  switch (connection.outcome) {
    case 'reached':
      break;
    case 'not-admitted':
      found.add(
        'blocker',
        'PEER_NOT_ADMITTED',
        to.name,
        `Shard '${to.name}' is reached and does not admit this server: ${connection.message}.`,
        {
          remedy: `Add an entry for this server to pg_hba.conf of '${to.name}' (database and user: all), and reload it.`,
        },
      );
      break;
    case 'unreachable':
      found.add(
        'blocker',
        'PEER_UNREACHABLE',
        to.name,
        `Shard '${to.name}' is not reached from here at ${conninfo}: ${connection.message}.`,
        {
          remedy: 'Open the way between the servers, or correct `peerAddress`.',
        },
      );
      break;
    case 'unknown':
      found.add(
        'note',
        'PEER_UNKNOWN',
        to.name,
        `Whether shard '${to.name}' is reached from here could not be tried: ${connection.message}.`,
        {
          remedy: 'Mend what else was found, and look again.',
        },
      );
      break;
  }
  return found.findings;
}
