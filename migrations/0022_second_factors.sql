-- What an account proves itself with besides its password: the codes of an app (RFC 6238), and codes to recover
-- with when the app is lost.

create table second_factors (
    user_id uuid primary key references users (id) on delete cascade,
    -- What the app computes its codes from, base32. A digest would not do: the codes are computed here too.
    secret text not null,
    -- The time step of the last code that was taken: neither it nor an older one is taken again.
    step bigint not null,
    created_at timestamptz not null,
    -- When a first code showed that the app is right; before that, nobody is asked for one.
    confirmed_at timestamptz
);

create table recovery_codes (
    -- SHA-256 of the code, hexadecimal.
    digest text primary key,
    user_id uuid not null references second_factors (user_id) on delete cascade,
    created_at timestamptz not null,
    used_at timestamptz
);
create index recovery_codes_user on recovery_codes (user_id);
