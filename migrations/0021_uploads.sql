-- Until when somebody makes a file of an upload; then whoever did has died. Null: nobody does.
alter table uploads add column joining_until timestamptz;
-- Until when its owner can put bytes into the bucket past us. Null: never could.
alter table uploads add column presigned_until timestamptz;
