-- Writes into the history of a move.
-- :id  :kind  :state  :generation  :holder_name  :detail
INSERT INTO shardline.move_event (move, kind, state, generation, holder_name, detail)
VALUES (:id, :kind, :state, :generation, :holder_name, :detail)
