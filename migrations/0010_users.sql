-- Who has an account, how they prove it, and where they are signed in.

create table users (
    -- The owner of the rows that the account makes: `owner_id` elsewhere.
    id uuid primary key,
    -- As it is written to.
    address text not null,
    -- The same in lower case: one mailbox, one account.
    address_key text not null,
    name text not null,
    -- A tag of BCP 47.
    language text not null,
    role text not null check (role in ('guest', 'learner', 'author', 'moderator', 'operator', 'admin')),
    -- What the account prefers, an object of a few small members.
    preferences jsonb not null,
    suspended_at timestamptz,
    -- Rises when every token of the account is to end at once.
    epoch bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create unique index users_address_key on users (address_key);
create index users_created on users (created_at, id);

create table credentials (
    user_id uuid primary key references users (id) on delete cascade,
    -- A PHC string of argon2id, or an imported one of bcrypt.
    password_hash text not null,
    changed_at timestamptz not null
);

-- Accounts that become true when the mail is answered. Each has its own password, so that nobody who
-- registers somebody else's address learns anything or chooses anything for them.
create table registrations (
    -- Who the account will be; the mail with the link is already theirs.
    user_id uuid primary key,
    address text not null,
    address_key text not null,
    name text not null,
    language text not null,
    password_hash text not null,
    created_at timestamptz not null
);
create index registrations_address on registrations (address_key, created_at);

-- An account that moves to another address: both have to answer.
create table address_changes (
    user_id uuid primary key references users (id) on delete cascade,
    address text not null,
    address_key text not null,
    old_confirmed_at timestamptz,
    new_confirmed_at timestamptz,
    created_at timestamptz not null
);

-- A session is what one login began: the family of its refresh tokens.
create table sessions (
    id uuid primary key,
    user_id uuid not null references users (id) on delete cascade,
    -- Who is behind it, when it is not the user.
    impersonator_id uuid references users (id) on delete cascade,
    -- Where it began: the address of the network, and what the program calls itself.
    place text not null,
    agent text not null,
    created_at timestamptz not null,
    used_at timestamptz not null,
    expires_at timestamptz not null,
    ended_at timestamptz,
    ended_by text check (ended_by in ('logout', 'everywhere', 'reuse', 'password', 'suspension'))
);
create index sessions_user on sessions (user_id, created_at, id);
create index sessions_impersonator on sessions (impersonator_id) where impersonator_id is not null;
create index sessions_expires on sessions (expires_at);

-- Each refresh token once, kept when it is used: who sends it again has stolen it, or was stolen from.
create table refresh_tokens (
    -- SHA-256 of the token, hexadecimal.
    digest text primary key,
    session_id uuid not null references sessions (id) on delete cascade,
    created_at timestamptz not null,
    used_at timestamptz
);
create index refresh_tokens_session on refresh_tokens (session_id);
