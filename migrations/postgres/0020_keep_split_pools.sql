-- The pools that routes split requests between, which are kept as those that take all. Owner: the route service.

-- Those of the live content and of the candidate's, each between commas: ",pools/a,pools/b,". NULL: none.
ALTER TABLE gateway_resources ADD COLUMN split_pools TEXT COLLATE "C";
-- Who looks for one reads these alone.
CREATE INDEX gateway_resources_split_pools ON gateway_resources (split_pools) WHERE split_pools IS NOT NULL;

-- Those that the way back of a commit needs, in the same form. NULL: none, or nothing is committed.
ALTER TABLE gateway_rollouts ADD COLUMN baseline_split_pools TEXT COLLATE "C";
