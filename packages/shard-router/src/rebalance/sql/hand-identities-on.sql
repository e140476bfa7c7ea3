-- Gives what a move knows of replica identities to another move that feeds from here too, if there is one.
-- $1 id of the move that ends
UPDATE shardline.move_record AS heir
SET replica_identities = own.replica_identities || heir.replica_identities
FROM shardline.move_record AS own
WHERE own.move = $1 AND heir.move = (
  SELECT o.move FROM shardline.move_record AS o WHERE o.has_outbound AND o.move <> $1 ORDER BY o.move LIMIT 1)
