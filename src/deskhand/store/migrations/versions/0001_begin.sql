-- The first schema. $NAME is text that sorts by its bytes, whatever the language of the database is.

CREATE TABLE accounts (
    id $NAME NOT NULL,
    head BIGINT NOT NULL,
    hash $NAME NOT NULL,
    CONSTRAINT pk_accounts PRIMARY KEY (id)
);

CREATE TABLE events (
    account $NAME NOT NULL,
    seq BIGINT NOT NULL,
    kind $NAME NOT NULL,
    at $NAME NOT NULL,
    actor TEXT NOT NULL,
    thread $NAME,
    task $NAME,
    v BIGINT NOT NULL,
    audience $NAME NOT NULL,
    runner $NAME,
    body TEXT NOT NULL,
    body_sha256 $NAME NOT NULL,
    hash $NAME NOT NULL,
    CONSTRAINT pk_events PRIMARY KEY (account, seq),
    CONSTRAINT fk_events_account FOREIGN KEY(account) REFERENCES accounts (id)
);
CREATE INDEX ix_events_audience ON events (account, audience, seq);
CREATE INDEX ix_events_runner ON events (account, runner, seq);
CREATE INDEX ix_events_said ON events (account, thread, seq) WHERE kind IN ('message.posted', 'task.finished');
CREATE INDEX ix_events_thread ON events (account, thread, seq);

CREATE TABLE threads (
    account $NAME NOT NULL,
    id $NAME NOT NULL,
    seq BIGINT NOT NULL,
    state $NAME,
    thread $NAME,
    task $NAME,
    blob $NAME,
    object TEXT NOT NULL,
    CONSTRAINT pk_threads PRIMARY KEY (account, id),
    CONSTRAINT fk_threads_account FOREIGN KEY(account) REFERENCES accounts (id)
);
CREATE INDEX ix_threads_state ON threads (account, state, id);

CREATE TABLE tasks (
    account $NAME NOT NULL,
    id $NAME NOT NULL,
    seq BIGINT NOT NULL,
    state $NAME,
    thread $NAME,
    task $NAME,
    blob $NAME,
    object TEXT NOT NULL,
    CONSTRAINT pk_tasks PRIMARY KEY (account, id),
    CONSTRAINT fk_tasks_account_thread FOREIGN KEY(account, thread) REFERENCES threads (account, id),
    CONSTRAINT fk_tasks_account FOREIGN KEY(account) REFERENCES accounts (id)
);
CREATE INDEX ix_tasks_state ON tasks (account, state, id);
CREATE INDEX ix_tasks_thread ON tasks (account, thread, id);

CREATE TABLE approvals (
    account $NAME NOT NULL,
    id $NAME NOT NULL,
    seq BIGINT NOT NULL,
    state $NAME,
    thread $NAME,
    task $NAME,
    blob $NAME,
    object TEXT NOT NULL,
    CONSTRAINT pk_approvals PRIMARY KEY (account, id),
    CONSTRAINT fk_approvals_account_thread FOREIGN KEY(account, thread) REFERENCES threads (account, id),
    CONSTRAINT fk_approvals_account_task FOREIGN KEY(account, task) REFERENCES tasks (account, id),
    CONSTRAINT fk_approvals_account FOREIGN KEY(account) REFERENCES accounts (id)
);
CREATE INDEX ix_approvals_state ON approvals (account, state, id);
CREATE INDEX ix_approvals_task ON approvals (account, task, id);
CREATE INDEX ix_approvals_thread ON approvals (account, thread, id);

CREATE TABLE questions (
    account $NAME NOT NULL,
    id $NAME NOT NULL,
    seq BIGINT NOT NULL,
    state $NAME,
    thread $NAME,
    task $NAME,
    blob $NAME,
    object TEXT NOT NULL,
    CONSTRAINT pk_questions PRIMARY KEY (account, id),
    CONSTRAINT fk_questions_account_thread FOREIGN KEY(account, thread) REFERENCES threads (account, id),
    CONSTRAINT fk_questions_account_task FOREIGN KEY(account, task) REFERENCES tasks (account, id),
    CONSTRAINT fk_questions_account FOREIGN KEY(account) REFERENCES accounts (id)
);
CREATE INDEX ix_questions_state ON questions (account, state, id);
CREATE INDEX ix_questions_task ON questions (account, task, id);
CREATE INDEX ix_questions_thread ON questions (account, thread, id);

CREATE TABLE artifacts (
    account $NAME NOT NULL,
    id $NAME NOT NULL,
    seq BIGINT NOT NULL,
    state $NAME,
    thread $NAME,
    task $NAME,
    blob $NAME,
    object TEXT NOT NULL,
    CONSTRAINT pk_artifacts PRIMARY KEY (account, id),
    CONSTRAINT fk_artifacts_account_task FOREIGN KEY(account, task) REFERENCES tasks (account, id),
    CONSTRAINT fk_artifacts_account FOREIGN KEY(account) REFERENCES accounts (id)
);
CREATE INDEX ix_artifacts_blob ON artifacts (account, blob, id);
CREATE INDEX ix_artifacts_state ON artifacts (account, state, id);
CREATE INDEX ix_artifacts_task ON artifacts (account, task, id);

CREATE TABLE devices (
    account $NAME NOT NULL,
    id $NAME NOT NULL,
    seq BIGINT NOT NULL,
    state $NAME,
    thread $NAME,
    task $NAME,
    blob $NAME,
    object TEXT NOT NULL,
    CONSTRAINT pk_devices PRIMARY KEY (account, id),
    CONSTRAINT fk_devices_account FOREIGN KEY(account) REFERENCES accounts (id)
);
CREATE INDEX ix_devices_state ON devices (account, state, id);

CREATE TABLE pair_requests (
    account $NAME NOT NULL,
    id $NAME NOT NULL,
    seq BIGINT NOT NULL,
    state $NAME,
    thread $NAME,
    task $NAME,
    blob $NAME,
    object TEXT NOT NULL,
    CONSTRAINT pk_pair_requests PRIMARY KEY (account, id),
    CONSTRAINT fk_pair_requests_account FOREIGN KEY(account) REFERENCES accounts (id)
);
CREATE INDEX ix_pair_requests_state ON pair_requests (account, state, id);

CREATE TABLE runners (
    account $NAME NOT NULL,
    id $NAME NOT NULL,
    seq BIGINT NOT NULL,
    state $NAME,
    thread $NAME,
    task $NAME,
    blob $NAME,
    object TEXT NOT NULL,
    CONSTRAINT pk_runners PRIMARY KEY (account, id),
    CONSTRAINT fk_runners_account FOREIGN KEY(account) REFERENCES accounts (id)
);
CREATE INDEX ix_runners_state ON runners (account, state, id);

CREATE TABLE folders (
    account $NAME NOT NULL,
    id $NAME NOT NULL,
    seq BIGINT NOT NULL,
    state $NAME,
    thread $NAME,
    task $NAME,
    blob $NAME,
    object TEXT NOT NULL,
    CONSTRAINT pk_folders PRIMARY KEY (account, id),
    CONSTRAINT fk_folders_account FOREIGN KEY(account) REFERENCES accounts (id)
);
CREATE INDEX ix_folders_state ON folders (account, state, id);

CREATE TABLE settings (
    account $NAME NOT NULL,
    id $NAME NOT NULL,
    seq BIGINT NOT NULL,
    state $NAME,
    thread $NAME,
    task $NAME,
    blob $NAME,
    object TEXT NOT NULL,
    CONSTRAINT pk_settings PRIMARY KEY (account, id),
    CONSTRAINT fk_settings_account FOREIGN KEY(account) REFERENCES accounts (id)
);

CREATE TABLE credentials (
    account $NAME NOT NULL,
    token_sha256 $NAME NOT NULL,
    principal $NAME NOT NULL,
    role $NAME NOT NULL,
    name TEXT NOT NULL,
    kind $NAME NOT NULL,
    revoked BOOLEAN NOT NULL,
    CONSTRAINT pk_credentials PRIMARY KEY (account, token_sha256),
    CONSTRAINT uq_credentials_token_sha256 UNIQUE (token_sha256),
    CONSTRAINT fk_credentials_account FOREIGN KEY(account) REFERENCES accounts (id)
);
CREATE INDEX ix_credentials_principal ON credentials (account, principal);

CREATE TABLE invites (
    account $NAME NOT NULL,
    id $NAME NOT NULL,
    secret_sha256 $NAME NOT NULL,
    code $NAME,
    kind $NAME NOT NULL,
    role $NAME NOT NULL,
    admits_alone BOOLEAN NOT NULL,
    expires_at $NAME NOT NULL,
    used_by $NAME,
    CONSTRAINT pk_invites PRIMARY KEY (account, id),
    CONSTRAINT uq_invites_secret_sha256 UNIQUE (secret_sha256),
    CONSTRAINT fk_invites_account FOREIGN KEY(account) REFERENCES accounts (id)
);
CREATE INDEX ix_invites_code ON invites (code);

CREATE TABLE joinings (
    account $NAME NOT NULL,
    request $NAME NOT NULL,
    invite $NAME NOT NULL,
    secret_sha256 $NAME NOT NULL,
    public_key TEXT,
    expires_at $NAME NOT NULL,
    device $NAME,
    CONSTRAINT pk_joinings PRIMARY KEY (account, request),
    CONSTRAINT uq_joinings_request UNIQUE (request),
    CONSTRAINT fk_joinings_account_invite FOREIGN KEY(account, invite) REFERENCES invites (account, id),
    CONSTRAINT fk_joinings_account FOREIGN KEY(account) REFERENCES accounts (id)
);

CREATE TABLE presence (
    account $NAME NOT NULL,
    runner $NAME NOT NULL,
    connected BOOLEAN NOT NULL,
    seen_at $NAME NOT NULL,
    CONSTRAINT pk_presence PRIMARY KEY (account, runner),
    CONSTRAINT fk_presence_account FOREIGN KEY(account) REFERENCES accounts (id)
);

CREATE TABLE subscriptions (
    account $NAME NOT NULL,
    id $NAME NOT NULL,
    device $NAME NOT NULL,
    endpoint $NAME NOT NULL,
    p256dh TEXT NOT NULL,
    auth TEXT NOT NULL,
    CONSTRAINT pk_subscriptions PRIMARY KEY (account, id),
    CONSTRAINT uq_subscriptions_account_endpoint UNIQUE (account, endpoint),
    CONSTRAINT fk_subscriptions_account FOREIGN KEY(account) REFERENCES accounts (id)
);
CREATE INDEX ix_subscriptions_device ON subscriptions (account, device);

CREATE TABLE deliveries (
    account $NAME NOT NULL,
    id $NAME NOT NULL,
    tag $NAME NOT NULL,
    class $NAME NOT NULL,
    subscription $NAME NOT NULL,
    device $NAME,
    task $NAME,
    fate $NAME NOT NULL,
    reason TEXT,
    attempts BIGINT NOT NULL,
    next_try_at $NAME,
    planned TEXT NOT NULL,
    CONSTRAINT pk_deliveries PRIMARY KEY (account, id),
    CONSTRAINT uq_deliveries_account_tag_class_subscription UNIQUE (account, tag, class, subscription),
    CONSTRAINT fk_deliveries_account FOREIGN KEY(account) REFERENCES accounts (id)
);
CREATE INDEX ix_deliveries_due ON deliveries (next_try_at) WHERE next_try_at IS NOT NULL;
CREATE INDEX ix_deliveries_task ON deliveries (account, task);

CREATE TABLE ops (
    account $NAME NOT NULL,
    principal $NAME NOT NULL,
    op_id $NAME NOT NULL,
    fingerprint $NAME NOT NULL,
    result TEXT NOT NULL,
    at $NAME NOT NULL,
    CONSTRAINT pk_ops PRIMARY KEY (account, principal, op_id),
    CONSTRAINT fk_ops_account FOREIGN KEY(account) REFERENCES accounts (id)
);
CREATE INDEX ix_ops_at ON ops (at);

CREATE TABLE read_marks (
    account $NAME NOT NULL,
    principal $NAME NOT NULL,
    thread $NAME NOT NULL,
    seq BIGINT NOT NULL,
    CONSTRAINT pk_read_marks PRIMARY KEY (account, principal, thread),
    CONSTRAINT fk_read_marks_account_thread FOREIGN KEY(account, thread) REFERENCES threads (account, id),
    CONSTRAINT fk_read_marks_account FOREIGN KEY(account) REFERENCES accounts (id)
);

CREATE TABLE uploads (
    account $NAME NOT NULL,
    id $NAME NOT NULL,
    principal $NAME NOT NULL,
    name TEXT NOT NULL,
    size BIGINT NOT NULL,
    "offset" BIGINT NOT NULL,
    media_type TEXT NOT NULL,
    sha256 $NAME,
    expires_at $NAME NOT NULL,
    posted BOOLEAN NOT NULL,
    CONSTRAINT pk_uploads PRIMARY KEY (account, id),
    CONSTRAINT fk_uploads_account FOREIGN KEY(account) REFERENCES accounts (id)
);
CREATE INDEX ix_uploads_principal ON uploads (account, principal);
CREATE INDEX ix_uploads_sha256 ON uploads (account, sha256);

CREATE TABLE leases (
    account $NAME NOT NULL,
    task $NAME NOT NULL,
    runner $NAME NOT NULL,
    epoch BIGINT NOT NULL,
    renewed_at $NAME NOT NULL,
    CONSTRAINT pk_leases PRIMARY KEY (account, task),
    CONSTRAINT fk_leases_account_task FOREIGN KEY(account, task) REFERENCES tasks (account, id),
    CONSTRAINT fk_leases_account FOREIGN KEY(account) REFERENCES accounts (id)
);
CREATE INDEX ix_leases_runner ON leases (account, runner);
