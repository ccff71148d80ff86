-- Keys for machines: a part of what their account may do, until they expire or are revoked.

create table api_keys (
    id uuid primary key,
    user_id uuid not null references users (id) on delete cascade,
    name text not null,
    -- What the key begins with, so that its owner knows which it is.
    prefix text not null,
    -- SHA-256 of the whole key, hexadecimal.
    digest text not null,
    -- An array of the permissions that it has, as far as its account has them.
    scopes jsonb not null,
    created_at timestamptz not null,
    expires_at timestamptz,
    -- To the minute.
    used_at timestamptz,
    revoked_at timestamptz
);
create unique index api_keys_digest on api_keys (digest);
create index api_keys_user on api_keys (user_id, created_at, id);
