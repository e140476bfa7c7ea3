import type { TargetId } from '../targets.js';

/**
 * Why a line of the targets falls short where it does, and what would close the gap: shown beside the line when it
 * does fall short. Each sentence rests on a profile (`npm run profile -- SCENARIO`) or on steps that were timed, and says
 * what that showed.
 */
export const explanations: Partial<Record<TargetId, string>> = {
  'cache/l2-hit':
    'Profiled with Redis left out (a tier in memory that answers a turn later), a third of the CPU of a hit is garbage ' +
    'collection and a fifth JSON.parse, which the raw GET leaves out; no other step takes a tenth. Three promises are left ' +
    'between `get` and the reply.',
  'ratelimit/checks':
    'Timed in turns with one caller, the script called bare takes 1.03 x of a whole check of the peer: it is 2.3 us longer on Redis (5.9 ' +
    'to 6.3 us against 3.5 to 3.9), since level and time are computed exactly. Waiting for the end of the tick, deadline and breaker come ' +
    'to 3 %, the decision with its policies to 4 %. One timer for all that is on its way closed a quarter of the gap. Checks ' +
    'of one tick share a script, so from 64 callers on the order is the other way round.',
  'pool/point-read':
    'Timed in turns without pipelining, throughput is 0.98 x and CPU per read 1.02 x of pg.Pool; with idle connections lent unchecked ' +
    'it is 1.05 x and 0.98 x. So what ours pays is the empty statement that finds out whether each of ten connections has outlived the ' +
    'turns of the others: 2.2 ms before the first answers, and half a millisecond of CPU.',
  'pool/slow-replica':
    'Traced with six callers, one to seven reads of 2500 go to the slow replica: it is not in the slowest per cent. With that replica ' +
    'taken out by hand p99 is 17 to 19 ms on a quiet machine, where most answers take 12: what lies above that is noise of the machine, which ' +
    'the 100 ms of round robin do not show.',
  'scatter/ordered-page':
    'Profiled, this process works less than half a millisecond for a page. On one connection, in turns, the statement that a shard ' +
    'gets takes 6.3 ms and the plain one 6.0: it reads the epoch in the snapshot of its rows, joined so that a shard without rows ' +
    'shows it too; eight of them share two cores. An epoch beside the rows alone would take half of that and ask empty shards twice.',
  'rebalance/copy':
    'Traced on 500 000 rows, of which half move, the COPY of the subscription takes 1.0 s and the piped one 0.7 to 1.1 s. What is on top is ' +
    'some 0.3 s, whatever is copied: role, publication, slot and subscription are made, two workers begin, connect and make slots of ' +
    'their own, and indexes wait to be made. So the ratio rises with the size: 0.5 x at 50 000 rows, 0.66 to 0.83 x at 250 000. Only a ' +
    'copy that is made without a subscription would begin sooner, and it would have to find the point in the WAL by itself.',
  'rebalance/throughput':
    'Traced by writes in each 50 ms: hardly one came through for 400 ms after the first switch, while everybody waited for dials to ' +
    'the shard that had joined; routers dial before it now (100 ms, and the longest write 190 ms instead of 355). What is ' +
    'left is spread over the whole move. Measured by process, a quarter of the CPU that service and shards get goes to it: ' +
    'backends of the mover, which compare and delete rows, 15 %, senders of WAL and the workers that apply it 6 %. Writes lose what ' +
    'the move takes, since everything shares two cores; with shards on cores of their own they should not, which this machine cannot show.',
  'rebalance/pause':
    'Timed step by step on a machine that others used too, about half of the time between hold and release is spent on three ' +
    'waits: for routers to acknowledge the hold, for writers whose locks the fence has to wait for, and for the barrier to come ' +
    'through the stream. The rest is eight commits, of the journal and of the records of both shards, one after the other, as ' +
    'the protocol wants them; nothing is made or dropped any more while callers wait. With idle cores the whole is 45 ms; on a machine that ' +
    'is full each step waits 7 to 20 ms for its turn. The records cannot be written ' +
    'both at once: with two moves, a destination that opens before its source has relinquished was found unsafe by the model ' +
    '(docs/decisions, the cut-over protocol).',
  'layer/entity-get':
    'Profiled apart, a read that memory answers takes 5 us of CPU where the peer takes 40; with one write in ten the writes are ' +
    'nearly all. Traced trip by trip, one write at a time takes 2.6 ms and the peer 0.5 (UPDATE, deletion, message): the look at Redis, ' +
    'the UPDATE with its outbox row, the mark in Memcached (two trips) beside the question where the write has ended, the replacement, ' +
    'the message to other processes. Measured by process with 64 callers that only write, a write costs the machine 1.1 ms of ' +
    'CPU and the peer 0.5: 0.5 in this process (0.17), 0.33 in backends of PostgreSQL (0.18), 0.19 in replication (0.14). Of this process ' +
    'three tenths are handing bytes to the kernel; the rest is spread thin, over some two hundred promises and twenty timers where ' +
    'the peer has thirty and one. So the throughput cannot be three times the peer, nor p95, which is the median of the writes, half of it. ' +
    'Replacement and message in one script, where Redis is no Cluster, and a look at Memcached beside the one at Redis would save two trips ' +
    'of the six, and hardly any CPU (not tried).',
  'route/text':
    'Ours costs less than the bare hash call, which alone is a thirteenth to a seventeenth of a lookup in hashring on this machine: forty ' +
    'times hashring would be less than half of the hash itself.',
};
