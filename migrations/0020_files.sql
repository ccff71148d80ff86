-- Files, and what is made of them. The bytes lie in a storage, by their SHA-256.

-- Bytes that lie in the storage, or are about to.
create table blobs (
    -- SHA-256, hexadecimal.
    digest text primary key check (length(digest) = 64),
    size_bytes bigint not null check (size_bytes >= 0),
    -- When to look whether anybody still refers to them. Null: somebody does.
    check_at timestamptz,
    -- Since when they are being deleted. From then on nobody may refer to them.
    doomed_at timestamptz,
    created_at timestamptz not null
);
create index blobs_check on blobs (check_at) where check_at is not null;

create table files (
    id uuid primary key,
    owner_id uuid not null,
    digest text not null references blobs (digest),
    size_bytes bigint not null check (size_bytes >= 0),
    -- What the owner calls it; never a path.
    name text not null,
    -- What its first bytes say, not what anybody claims.
    media_type text not null,
    -- What is known of a picture once its variants were made: turned as it is to be seen.
    width bigint,
    height bigint,
    -- Stand-ins to show until the picture is there: base64, and #rrggbb.
    thumbhash text,
    colour text,
    -- The task that last made variants of it.
    task_id uuid references tasks (id) on delete set null,
    created_at timestamptz not null
);
create index files_owner on files (owner_id, created_at, id);
create index files_digest on files (digest);
create index files_task on files (task_id) where task_id is not null;

-- What was made of a picture.
create table file_variants (
    file_id uuid not null references files (id) on delete cascade,
    -- Which size: `card`, or `320x200`.
    name text not null,
    format text not null check (format in ('webp', 'jpeg')),
    width bigint not null,
    height bigint not null,
    digest text not null references blobs (digest),
    size_bytes bigint not null check (size_bytes >= 0),
    created_at timestamptz not null,
    primary key (file_id, name, format)
);
create index file_variants_digest on file_variants (digest);

-- What each owner's files add up to, uploads that have not ended included.
create table file_usage (
    owner_id uuid primary key,
    files bigint not null check (files >= 0),
    size_bytes bigint not null check (size_bytes >= 0)
);

-- Files that come piece by piece.
create table uploads (
    id uuid primary key,
    owner_id uuid not null,
    name text not null,
    -- How large the whole will be; counted in file_usage from the start.
    size_bytes bigint not null check (size_bytes >= 0),
    -- How much of it has arrived.
    offset_bytes bigint not null default 0 check (offset_bytes >= 0),
    parts bigint not null default 0,
    -- The SHA-256 that the client said the whole has.
    digest text,
    -- What became of it.
    file_id uuid references files (id) on delete set null,
    finished_at timestamptz,
    expires_at timestamptz not null,
    created_at timestamptz not null
);
create index uploads_owner on uploads (owner_id, created_at, id);
create index uploads_expires on uploads (expires_at);
create index uploads_file on uploads (file_id) where file_id is not null;

create table upload_parts (
    upload_id uuid not null references uploads (id) on delete cascade,
    offset_bytes bigint not null,
    size_bytes bigint not null check (size_bytes > 0),
    -- Its temporary name in the storage.
    name text not null,
    primary key (upload_id, offset_bytes)
);

-- What links are signed with: made by whoever needs one first, the same for all replicas.
create table signing_keys (
    name text primary key,
    -- Base64.
    secret text not null,
    created_at timestamptz not null
);
