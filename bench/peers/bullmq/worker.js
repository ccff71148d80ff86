// The worker: 64 jobs at the same time, two statements each.
import { Worker } from 'bullmq';
import { pool, connection } from './shared.js';

const work = async ({ data: { id } }) => {
  await pool.query({ name: 'start', values: [id], text: `update tasks set state = 'running',
    version = version + 1, attempt = attempt + 1, started_at = clock_timestamp()
    where id = $1 and state <> 'succeeded'` });
  await pool.query({ name: 'end', values: [id], text: `update tasks set state = 'succeeded',
    version = version + 1, result = jsonb_build_object('n', payload -> 'n'),
    finished_at = clock_timestamp() where id = $1 and state = 'running'` });
};
new Worker('work', work, { connection, concurrency: 64 });
