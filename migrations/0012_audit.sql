-- Who did what to which subject, from where. Rows are added and never changed; each names the hash of
-- the one before it, so that a change in the middle shows.

create table audit_entries (
    -- Without gaps, from 1.
    seq bigint primary key,
    at timestamptz not null,
    -- The account that acted, and who was behind it when that was not its owner.
    actor_id uuid,
    impersonator_id uuid,
    action text not null,
    -- What it was done to: `users/ID`, `queues/default`; empty when there is nothing to name.
    subject text not null,
    place text not null,
    request_id text,
    -- Of all the above and of the hash before: SHA-256, hexadecimal.
    hash text not null
);
create index audit_entries_actor on audit_entries (actor_id, seq) where actor_id is not null;
create index audit_entries_subject on audit_entries (subject, seq);
create index audit_entries_action on audit_entries (action, seq);

-- The end of the chain: whoever adds to it holds this row until the commit.
create table audit_head (
    id bigint primary key check (id = 1),
    seq bigint not null,
    hash text not null
);
insert into audit_head (id, seq, hash) values (1, 0, '');
