-- Mail: what is to be said to whom, who does not want it, and what providers told of it.

create table emails (
    id uuid primary key,
    owner_id uuid not null,
    -- The task that sends it; its outcome is in `effects`.
    task_id uuid references tasks (id) on delete set null,
    template text not null,
    category text not null check (category in ('account', 'courses', 'digest')),
    -- The language asked for, as a tag of BCP 47.
    language text not null,
    -- In the form of the wire: an ASCII domain in lower case.
    recipient text not null,
    recipient_name text,
    variables jsonb not null,
    -- An array of {name, media_type, base64}.
    attachments jsonb not null,
    created_at timestamptz not null
);
create index emails_owner on emails (owner_id, created_at, id);
create index emails_task on emails (task_id) where task_id is not null;

-- What a link in a mail proves. Only the digest is kept: whoever reads the table can follow no link.
create table email_tokens (
    -- SHA-256 of the token, hexadecimal.
    digest text primary key,
    email_id uuid not null references emails (id) on delete cascade,
    purpose text not null check (purpose in ('verify', 'reset', 'unsubscribe')),
    expires_at timestamptz not null,
    used_at timestamptz,
    created_at timestamptz not null
);
create index email_tokens_email on email_tokens (email_id);
create index email_tokens_expires on email_tokens (expires_at);

-- What a provider told, each event once.
create table email_events (
    provider text not null,
    event_id text not null,
    email_id uuid not null references emails (id) on delete cascade,
    event text not null,
    occurred_at timestamptz not null,
    created_at timestamptz not null,
    primary key (provider, event_id)
);
create index email_events_email on email_events (email_id, created_at);

-- Addresses that get nothing any more.
create table suppressions (
    address text not null,
    reason text not null check (reason in ('bounce', 'complaint', 'unsubscribe')),
    created_at timestamptz not null,
    primary key (address, reason)
);

-- What the reader of an address wants. No row: wanted.
create table email_preferences (
    address text not null,
    category text not null check (category in ('courses', 'digest')),
    wanted boolean not null,
    updated_at timestamptz not null,
    primary key (address, category)
);

-- Where an owner is reached.
create table contacts (
    owner_id uuid primary key,
    address text not null,
    name text,
    language text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
