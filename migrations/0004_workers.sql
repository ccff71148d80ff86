-- Worker processes, as they last reported.

create table workers (
    -- Differs from start to start.
    name text primary key,
    version text not null,
    -- The queues it serves, an array of words.
    queues jsonb not null,
    -- Tasks of a queue that it runs at the same time.
    concurrency bigint not null check (concurrency >= 1),
    started_at timestamptz not null,
    seen_at timestamptz not null
);
create index workers_seen_at on workers (seen_at);
