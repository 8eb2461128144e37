-- What is known of resources, operations and subscriptions. The body is the
-- document (docs/resource-provider.md); the columns beside it are what is looked
-- for and compared. Written for SQLite and PostgreSQL alike: what is put in order
-- is in the order of bytes, whatever language a database was made for (PostgreSQL
-- gets a collation of SQLite's name before). Times are microseconds since 1970.

CREATE TABLE resources (
    id TEXT NOT NULL PRIMARY KEY,
    -- One of a kind for two spellings of one resource id, and for no others.
    key TEXT COLLATE "BINARY" NOT NULL UNIQUE,
    -- What the keys of its siblings begin with.
    collection TEXT NOT NULL,
    -- Its nested name in small letters: what lists of many groups are ordered by.
    name TEXT COLLATE "BINARY" NOT NULL,
    subscription TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    etag TEXT NOT NULL,
    -- Of a connector: when its certificate is to be renewed.
    renew_at BIGINT,
    -- Of a connector that the cluster has: whether it was told to let it stand.
    is_suspended BIGINT,
    -- Whether a change failed and what was good could not be brought back: the
    -- sweeper has it tried again.
    is_half_changed BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX resources_by_collection ON resources (collection, key);
CREATE INDEX resources_by_subscription ON resources (subscription, kind, name, key);
-- What is placed.
CREATE INDEX resources_placed ON resources (key) WHERE kind IN ('Workspace', 'IomtConnector');
-- What the sweeper looks for: few, whatever a planner thinks of the column.
CREATE INDEX resources_unsettled ON resources (key)
    WHERE state IN ('Accepted', 'Provisioning', 'Updating', 'Deprovisioning');
CREATE INDEX resources_by_renewal ON resources (renew_at);
CREATE INDEX resources_by_suspension ON resources (is_suspended, subscription);
CREATE INDEX resources_half_changed ON resources (key) WHERE is_half_changed = 1;

CREATE TABLE operations (
    id TEXT NOT NULL PRIMARY KEY,
    subscription TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    -- One operation of a queue runs at a time, the oldest first.
    queue TEXT NOT NULL,
    -- What it does.
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    enqueued_at BIGINT NOT NULL,
    lease_owner TEXT,
    lease_until BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    -- Whether a delete wants it to stop.
    is_preempted BIGINT NOT NULL,
    -- When it is forgotten; none while it is not over.
    expires_at BIGINT,
    body TEXT NOT NULL
);
-- What workers look for: nearly all that is remembered is over.
CREATE INDEX operations_pending ON operations (enqueued_at, id) WHERE status IN ('Requested', 'Running');
CREATE INDEX operations_pending_by_queue ON operations (queue, enqueued_at, id)
    WHERE status IN ('Requested', 'Running');
CREATE INDEX operations_by_resource ON operations (resource_id);
CREATE INDEX operations_by_expiry ON operations (expires_at);

CREATE TABLE subscriptions (
    id TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    body TEXT NOT NULL
);

-- Names that are unique in the cloud, and whose they are, also after a delete.
CREATE TABLE name_reservations (
    name TEXT NOT NULL PRIMARY KEY,
    subscription TEXT NOT NULL
);

-- Who holds what is done by one at a time: the shared parts of a workspace.
CREATE TABLE locks (
    name TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    held_until BIGINT NOT NULL
);
