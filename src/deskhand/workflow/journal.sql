-- Every statement of a runner's journal, by its name; its tables are in ``tables.sql``.

-- facts
SELECT name, value FROM meta;

-- fact
SELECT value FROM meta WHERE name = :name;

-- keep
INSERT INTO meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- keep_highest
INSERT INTO meta (name, value) VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value);

-- receive
INSERT INTO inbox (seq, kind, task, ref, event) VALUES (:seq, :kind, :task, :ref, :event) ON CONFLICT DO NOTHING;

-- move_down: below one, so that another log has room, and none on its way to where another still is
UPDATE inbox SET seq = seq - (SELECT max(seq) - min(min(seq), 1) + 1 FROM inbox);

-- decision
SELECT event FROM inbox WHERE ref = :ref ORDER BY seq;

-- orders
SELECT event FROM inbox WHERE task = :task AND kind = :kind ORDER BY seq;

-- undecided: the wait for a decision, if it belongs to a living attempt and nobody has decided it
SELECT steps.wish FROM steps JOIN attempts USING (task, epoch)
WHERE kind = 'wait' AND result IS NULL AND ref = :ref AND status = 'open'
AND NOT EXISTS (SELECT 1 FROM inbox WHERE inbox.ref = steps.ref);

-- newest
SELECT max(epoch) FROM attempts WHERE task = :task;

-- begin
INSERT INTO attempts (task, epoch, brief, status, accepted, paused, place, received)
VALUES (:task, :epoch, :brief, 'open', FALSE, FALSE, :place, :received);

-- open_ones: of one task below an epoch, or all
SELECT task, epoch FROM attempts
WHERE status = 'open' AND (:task IS NULL OR task = :task AND epoch < :below) ORDER BY task, epoch;

-- end
UPDATE attempts SET status = :status WHERE task = :task AND epoch = :epoch;

-- pause
UPDATE attempts SET paused = :paused WHERE task = :task;

-- paused
SELECT paused FROM attempts WHERE task = :task AND epoch = :epoch;

-- accept
UPDATE attempts SET accepted = TRUE WHERE task = :task AND epoch = :epoch;

-- write: what is over or has lost its epoch is not there
UPDATE attempts SET status = :status, place = :place WHERE task = :task AND epoch = :epoch AND status = 'open';

-- attempt
SELECT * FROM attempts WHERE task = :task AND epoch = :epoch;

-- latest
SELECT * FROM attempts WHERE task = :task ORDER BY epoch DESC LIMIT 1;

-- superseded
SELECT epoch, place FROM attempts WHERE task = :task AND status = 'superseded' ORDER BY epoch DESC LIMIT 1;

-- ready
SELECT * FROM attempts AS one WHERE status = 'open' AND NOT paused AND NOT EXISTS (
    SELECT 1 FROM steps WHERE (task, epoch) = (one.task, one.epoch) AND kind = 'wait' AND result IS NULL
    AND NOT EXISTS (SELECT 1 FROM inbox WHERE inbox.ref = steps.ref)
) ORDER BY received, task;

-- cut_off: canceled before the result of an effect
SELECT * FROM attempts AS one WHERE status = 'canceled' AND EXISTS (
    SELECT 1 FROM steps WHERE (task, epoch) = (one.task, one.epoch) AND kind = 'tool' AND result IS NULL
);

-- place: of the last results of a thread, unless another task works there now
SELECT value FROM meta WHERE name = 'place/' || :thread AND NOT EXISTS (
    SELECT 1 FROM attempts WHERE status = 'open' AND place = meta.value AND task <> :but
);

-- steps
SELECT n, kind, "key", effect, ref, wish, result, at FROM steps WHERE task = :task AND epoch = :epoch ORDER BY n;

-- step: a new one, or the result of the one that is open; a result is never replaced
INSERT INTO steps (task, epoch, n, kind, "key", effect, ref, wish, result, at)
VALUES (:task, :epoch, :n, :kind, :key, :effect, :ref, :wish, :result, :at)
ON CONFLICT (task, epoch, n) DO UPDATE SET result = excluded.result
WHERE steps."key" = excluded."key" AND steps.result IS NULL;

-- drop_waits: their approvals belonged to the old epoch
DELETE FROM steps WHERE task = :task AND epoch = :epoch AND kind = 'wait' AND result IS NULL;

-- adopt
UPDATE steps SET epoch = :to WHERE task = :task AND epoch = :epoch;

-- put
INSERT INTO outbox (op_id, task, epoch, op) VALUES (:op_id, :task, :epoch, :op);

-- unsent
SELECT n, task, epoch, op FROM outbox
WHERE refused IS NULL AND n NOT IN (SELECT value FROM json_each(:taken)) ORDER BY n LIMIT :most;

-- forget
DELETE FROM outbox WHERE n = :n;

-- forget_all
DELETE FROM outbox;

-- refuse
UPDATE outbox SET refused = :code WHERE n = :n;

-- refused
SELECT op_id, refused FROM outbox WHERE refused IS NOT NULL ORDER BY n;

-- forget_home
DELETE FROM meta WHERE name = 'home';

-- forget_unused_yes: the one that an attempt ends with; it is asked for again
DELETE FROM steps WHERE kind = 'wait' AND json_extract(result, '$.decision') = 'allow'
AND (task, epoch) IN (SELECT task, epoch FROM attempts WHERE status = 'open')
AND (task, epoch, n) IN (SELECT task, epoch, max(n) FROM steps GROUP BY task, epoch);

-- narrow_yes: any other counts for what it was used for
UPDATE steps SET result = json_set(result, '$.scope', 'once')
WHERE kind = 'wait' AND json_extract(result, '$.decision') = 'allow'
AND (task, epoch) IN (SELECT task, epoch FROM attempts WHERE status = 'open');
