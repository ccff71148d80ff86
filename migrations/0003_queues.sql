-- What operators decide about queues, what was observed of the kinds, and the indexes of fair order.

-- A queue without a row is open.
create table queues (
    queue text primary key,
    -- paused: takes tasks and starts none. draining: starts what it has and takes nothing new.
    mode text not null check (mode in ('open', 'paused', 'draining')),
    -- A pause ends by itself at this time.
    paused_until timestamptz,
    updated_at timestamptz not null,
    check (paused_until is null or mode = 'paused')
);

-- How long tasks of a kind took of late.
create table durations (
    kind text primary key,
    -- How many tasks the numbers are made from.
    samples bigint not null check (samples >= 0),
    -- Seconds that a task keeps a worker busy, on average.
    busy_seconds double precision not null check (busy_seconds >= 0),
    -- Seconds from the first start to success: an array from the shortest to the longest.
    quantiles jsonb not null,
    -- Tasks that ended after the numbers were known, and those of them that the estimates had right.
    judged bigint not null check (judged >= 0),
    within_p50 bigint not null check (within_p50 >= 0),
    within_p90 bigint not null check (within_p90 >= 0),
    -- The latest end that was judged.
    judged_until timestamptz not null,
    updated_at timestamptz not null
);

-- Each owner's tasks of a kind are a line of their own: the relay takes turns between the lines.
create index tasks_line on tasks (queue, owner_id, kind, priority, run_at, id) where state = 'queued';
drop index tasks_due;
-- What ended is read and forgotten by kind.
create index tasks_ended on tasks (kind, finished_at) where finished_at is not null;
drop index tasks_finished;
-- What an attempt kept long after its task had succeeded is forgotten.
create index task_checkpoints_created_at on task_checkpoints (created_at);
