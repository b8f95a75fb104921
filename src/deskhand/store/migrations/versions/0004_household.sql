-- Conversations are their person's own. Those from before say of no person, so they are the owner's.

ALTER TABLE credentials ADD COLUMN person TEXT;
ALTER TABLE invites ADD COLUMN person TEXT;
ALTER TABLE threads ADD COLUMN seen_by $NAME;
ALTER TABLE threads ADD COLUMN created_by $NAME;
UPDATE threads SET seen_by = '', object = replace(object, ',"tasks":', ',"shared":false,"tasks":'), created_by = (
    SELECT actor FROM events
    WHERE events.account = threads.account AND events.thread = threads.id
        AND kind IN ('thread.created', 'thread.erased')
    ORDER BY events.seq DESC LIMIT 1
);

-- What is searched: the text as it is shown, and as it is compared.

CREATE TABLE words (
    account $NAME NOT NULL,
    kind $NAME NOT NULL,
    id $NAME NOT NULL,
    seq BIGINT NOT NULL,
    thread $NAME NOT NULL,
    task $NAME,
    text TEXT NOT NULL,
    folded TEXT NOT NULL,
    CONSTRAINT pk_words PRIMARY KEY (account, kind, id),
    CONSTRAINT fk_words_account FOREIGN KEY(account) REFERENCES accounts (id)
);
CREATE INDEX ix_words_thread ON words (account, thread);
