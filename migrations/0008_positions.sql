-- How many tasks come before one is counted in the order of the queue, whoever they belong to: without
-- this index, the count would sort everything that waits.
create index tasks_due on tasks (queue, priority, run_at, id) where state = 'queued';
