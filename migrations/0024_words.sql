-- What is queued has three indexes, and PostgreSQL took any of them where it believes that nothing waits: in a
-- table of ended tasks it read and sorted the whole queue for each claim. Each has to be asked for in words
-- that are true of every row, so that a statement says which one it goes by: `priority >= 0` is the order of the
-- queue (0023), `attempts_spared >= 0` the lines of owners, `attempt >= 0` what comes next.
drop index tasks_line;
create index tasks_line on tasks (queue, owner_id, kind, priority, run_at, id)
    where state = 'queued' and attempts_spared >= 0;
drop index tasks_next;
create index tasks_next on tasks (run_at) where state = 'queued' and attempt >= 0;
