-- Effects on the outside world, which no transaction takes back: written down before they are tried.

create table effects (
    -- What was done, a word of ours (`email`), and to which row of that noun.
    kind text not null,
    subject_id uuid not null,
    owner_id uuid not null,
    -- intent: somebody was asked, or is about to be, and the answer is not known. refused: the answer
    -- was no, so asking again is safe. withheld: we decided not to ask. unknown: nobody will know.
    state text not null check (state in
        ('intent', 'refused', 'withheld', 'sent', 'delivered', 'bounced', 'complained', 'unknown')),
    provider text not null,
    -- What the provider calls it.
    provider_id text,
    -- How many times the provider was asked; the token of the latest call.
    calls bigint not null check (calls >= 0),
    -- Why it was refused, withheld or bounced, without addresses.
    detail text,
    called_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (kind, subject_id)
);
