-- Whether a change failed and what was good could not be brought back: the sweeper
-- has it tried again.
ALTER TABLE resources ADD COLUMN is_half_changed BIGINT NOT NULL DEFAULT 0;
CREATE INDEX resources_half_changed ON resources (key) WHERE is_half_changed = 1;
