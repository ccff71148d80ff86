-- The front of a queue asks for this index in so many words. Without them PostgreSQL, where it knows little of a
-- table that has just grown, took it for the lines of owners too, and sorted all that waits for each.
drop index tasks_due;
create index tasks_due on tasks (queue, priority, run_at, id) where state = 'queued' and priority >= 0;
