-- The trace that a change belongs to, as a W3C traceparent, where it was recorded: proxies that apply the change go
-- on with it.
ALTER TABLE change_log ADD COLUMN trace_context TEXT;
