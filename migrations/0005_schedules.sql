-- Schedules: tasks that are enqueued again and again, at the times of a cron expression.

create table schedules (
    id uuid primary key,
    owner_id uuid not null,
    version bigint not null check (version >= 1),
    name text not null,
    -- Five fields: minute, hour, day of month, month, day of week.
    cron text not null,
    -- A name of the IANA time zone database.
    time_zone text not null,
    -- What happens to firings that nobody was there for.
    misfire text not null check (misfire in ('skip', 'once', 'all')),
    -- The task: see tasks.
    kind text not null,
    payload jsonb not null,
    priority bigint not null check (priority between 0 and 2),
    enabled boolean not null,
    -- Null when it is not enabled, or never fires again.
    next_at timestamptz,
    last_at timestamptz,
    last_task_id uuid references tasks (id) on delete set null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    check (enabled or next_at is null)
);
create index schedules_next_at on schedules (next_at) where next_at is not null;
create index schedules_owner on schedules (owner_id, created_at, id);
create index schedules_last_task on schedules (last_task_id) where last_task_id is not null;

-- That a time of a schedule was dealt with, whoever asks and however often the schedule is edited.
create table schedule_firings (
    schedule_id uuid not null references schedules (id) on delete cascade,
    fire_at timestamptz not null,
    primary key (schedule_id, fire_at)
);
create index schedule_firings_fire_at on schedule_firings (fire_at);
