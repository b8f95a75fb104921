-- A log gets a name; the first one is empty.

ALTER TABLE accounts ADD COLUMN incarnation $NAME DEFAULT '' NOT NULL;
