-- How a link stands; whoever is connected says so again at once.

ALTER TABLE presence ADD COLUMN state $NAME DEFAULT 'stopped' NOT NULL;
ALTER TABLE presence ADD COLUMN slept_seconds BIGINT;
ALTER TABLE presence ADD COLUMN woke_at $NAME;
