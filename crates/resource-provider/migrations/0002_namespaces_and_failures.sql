-- Of a connector that is being removed: whether it needs the workspace's namespace no
-- more. The last one takes that away, also of several that go at once.
ALTER TABLE resources ADD COLUMN has_left_namespace BIGINT NOT NULL DEFAULT 0;

-- What the sweeper had tried, and failed: it is tried again after a while.
CREATE INDEX operations_failed ON operations (resource_id, kind, expires_at) WHERE status = 'Failed';
