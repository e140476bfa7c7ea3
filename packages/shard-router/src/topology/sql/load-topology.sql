-- The whole topology with the holds. One statement, so that it is of one snapshot and takes one round trip.
SELECT t.epoch::text AS epoch, t.revision::text AS revision,
  coalesce((SELECT json_agg(json_build_object('name', s.name, 'weight', s.weight) ORDER BY s.name)
            FROM shardline.shard AS s), '[]') AS shards,
  coalesce((SELECT json_agg(json_build_object('name', k.name, 'keyType', k.key_type, 'hash', k.hash,
              'slots', k.slots,
              'shardEpochs', (SELECT json_object_agg(e.shard, e.epoch) FROM shardline.shard_epoch AS e
                              WHERE e.keyspace = k.name),
              'owners', (SELECT json_agg(o.shard ORDER BY o.slot) FROM shardline.slot AS o WHERE o.keyspace = k.name),
              'slotEpochs', (SELECT json_agg(o.epoch ORDER BY o.slot) FROM shardline.slot AS o
                             WHERE o.keyspace = k.name),
              'transit', (SELECT json_agg(json_build_object('shard', x.shard, 'slots', x.slots))
                          FROM (SELECT shard, array_agg(slot ORDER BY slot) AS slots FROM shardline.transit
                                WHERE keyspace = k.name GROUP BY shard) AS x)) ORDER BY k.name)
            FROM shardline.keyspace AS k), '[]') AS keyspaces,
  coalesce((SELECT json_agg(json_build_object('id', h.id::text, 'keyspace', h.keyspace, 'slots', h.slots)
                            ORDER BY h.id)
            FROM shardline.hold AS h), '[]') AS holds
FROM shardline.topology AS t
