-- Courses, their modules and lessons. Lessons become visible one by one while the course is being written.

create table courses (
    id uuid primary key,
    owner_id uuid not null,
    -- The task that writes the course.
    task_id uuid references tasks (id) on delete set null,
    version bigint not null check (version >= 1),
    status text not null check (status in ('writing', 'draft', 'in_review', 'published', 'archived', 'failed')),
    -- What the author asked for: topic, audience, level, language, lessons, objectives, notes.
    brief jsonb not null,
    seed bigint not null,
    title text,
    summary text,
    -- Model, digest, prompt, seed and tokens of the outline.
    provenance jsonb,
    -- The report of the quality gates.
    quality jsonb,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    finished_at timestamptz
);
create index courses_owner on courses (owner_id, created_at, id);
create index courses_task on courses (task_id) where task_id is not null;

create table modules (
    id uuid primary key,
    course_id uuid not null references courses (id) on delete cascade,
    ordinal bigint not null check (ordinal >= 1),
    title text not null,
    unique (course_id, ordinal)
);

create table lessons (
    id uuid primary key,
    course_id uuid not null references courses (id) on delete cascade,
    module_id uuid not null references modules (id) on delete cascade,
    -- Counts through the whole course, from 1.
    ordinal bigint not null check (ordinal >= 1),
    version bigint not null check (version >= 1),
    status text not null check (status in ('pending', 'generating', 'ready', 'needs_review', 'failed')),
    title text not null,
    objectives jsonb not null,
    -- Summary, sections, key points, misconception, exercise. Null until written.
    content jsonb,
    quiz jsonb,
    -- What the quality gates found, an array of {gate, detail}.
    flags jsonb not null,
    provenance jsonb,
    -- How many times the lesson was written: a gate over the whole course may ask once more.
    round bigint not null check (round >= 0),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (course_id, ordinal)
);
create index lessons_module on lessons (module_id);
