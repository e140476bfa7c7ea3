-- Moves with everything that is known of them.
-- :condition  which, as an SQL condition over `m`   :order  in which order, and how many
SELECT m.id, m.plan, m.position, m.keyspace, m.source, m.destination, m.slots, m.state,
  m.generation::float8 AS generation, m.holder, m.holder_name AS "holderName",
  greatest(0, extract(epoch FROM m.lease_until - clock_timestamp()) * 1000)::float8 AS "leaseLeftMs",
  m.epoch::float8 AS epoch, m.revision::float8 AS revision, m.is_in_transit AS "isInTransit",
  m.is_paused AS "isPaused", m.is_cut_over_held AS "isCutOverHeld",
  m.bytes_per_second::float8 AS "bytesPerSecond", m.wish, m.progress,
  m.waiting_for AS "waitingFor", m.last_error AS "lastError", m.pause_ms AS "pauseMs",
  extract(epoch FROM m.verified_at)::float8 * 1000 AS "verifiedAtMs",
  extract(epoch FROM m.rollback_until)::float8 * 1000 AS "rollbackUntilMs",
  (extract(epoch FROM m.rollback_until - clock_timestamp()) * 1000)::float8 AS "rollbackLeftMs",
  extract(epoch FROM m.created_at)::float8 * 1000 AS "startedAtMs",
  extract(epoch FROM m.state_since)::float8 * 1000 AS "stateSinceMs",
  m.tidied_at IS NOT NULL AS "isTidied"
FROM shardline.move AS m
WHERE :condition
ORDER BY :order
