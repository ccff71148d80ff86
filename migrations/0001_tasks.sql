-- The tasks table and what hangs on it. One row is outbox, message body, status, progress and history.
-- Portable subset only: see migrations/README.md.

create table tasks (
    id uuid primary key,
    kind text not null,
    queue text not null,
    state text not null check (state in ('queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled', 'expired')),
    -- Rises on every visible change; the ETag, and the sequence number of the event that tells of the change.
    version bigint not null check (version >= 1),
    -- 0 interactive, 1 normal, 2 bulk: the order in which due rows are rung.
    priority bigint not null check (priority between 0 and 2),
    owner_id uuid not null,
    payload jsonb not null,
    result jsonb,
    error jsonb,
    warnings jsonb not null,
    usage jsonb not null,
    -- Progress: percent only rises, unless a person asks for a fresh start.
    percent double precision not null check (percent between 0 and 100),
    step text,
    message text,
    completed bigint,
    total bigint,
    -- attempt is the fencing token: it rises at every start. Starts that ended in a wait, a snooze or a drain are spared.
    attempt bigint not null check (attempt >= 0),
    attempts_spared bigint not null check (attempts_spared >= 0),
    attempts_max bigint not null check (attempts_max between 1 and 100),
    lease_until timestamptz,
    worker text,
    cancel_requested boolean not null,
    -- Why a row that is not running waits: scheduled, backoff, children, input. Null when it was due from the
    -- beginning; a row does not change when its time comes, so look at run_at too.
    waiting_reason text,
    run_at timestamptz not null,
    rung_at timestamptz,
    expires_at timestamptz,
    parent_id uuid references tasks (id) on delete cascade,
    -- Names a child among its siblings, so that a second attempt of the parent does not create it again.
    child_key text,
    children_total bigint not null,
    children_succeeded bigint not null,
    children_failed bigint not null,
    -- While the children run, their ends move the parent's percent from one bound to the other.
    children_percent_from double precision not null,
    children_percent_to double precision not null,
    -- What the task works on, as a reference under /v1, for example courses/0199...
    subject text,
    request_id text,
    trace_id text,
    created_at timestamptz not null,
    started_at timestamptz,
    finished_at timestamptz,
    updated_at timestamptz not null,
    check ((state = 'running') = (lease_until is not null)),
    check ((state in ('succeeded', 'failed', 'cancelled', 'expired')) = (finished_at is not null))
);
create index tasks_due on tasks (queue, priority, run_at, id) where state = 'queued';
create index tasks_next on tasks (run_at) where state = 'queued';
create index tasks_expires on tasks (expires_at) where state = 'queued' and expires_at is not null;
create index tasks_lease on tasks (lease_until) where state = 'running';
create index tasks_finished on tasks (finished_at) where finished_at is not null;
create index tasks_worker on tasks (worker) where state = 'running';
create index tasks_owner on tasks (owner_id, created_at, id);
-- Also serves the deletion of a family.
create index tasks_parent on tasks (parent_id, created_at, id) where parent_id is not null;
create unique index tasks_child on tasks (parent_id, child_key) where child_key is not null;

create table task_events (
    task_id uuid not null references tasks (id) on delete cascade,
    -- Equals the version of the task after the change: gap-free from 1.
    seq bigint not null,
    event text not null check (event in ('state', 'progress', 'partial', 'done')),
    data jsonb not null,
    created_at timestamptz not null,
    primary key (task_id, seq)
);

create table task_attempts (
    task_id uuid not null references tasks (id) on delete cascade,
    attempt bigint not null,
    worker text not null,
    started_at timestamptz not null,
    ended_at timestamptz,
    -- succeeded, failed, retry, wait, snooze, cancelled, released, lost. Null while it runs.
    outcome text,
    error jsonb,
    primary key (task_id, attempt)
);

create table task_checkpoints (
    task_id uuid not null references tasks (id) on delete cascade,
    key text not null,
    -- A checkpoint is reused only for the same input.
    input_digest text not null,
    output jsonb not null,
    created_at timestamptz not null,
    primary key (task_id, key)
);

create table idempotency_keys (
    owner_id uuid not null,
    route text not null,
    key text not null,
    -- SHA-256 of the request body, hexadecimal.
    fingerprint text not null,
    -- What the first request answered: one task, or a document (a batch).
    task_id uuid references tasks (id) on delete cascade,
    response jsonb,
    created_at timestamptz not null,
    primary key (owner_id, route, key)
);
create index idempotency_keys_created_at on idempotency_keys (created_at);
create index idempotency_keys_task on idempotency_keys (task_id) where task_id is not null;
