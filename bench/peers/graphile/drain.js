// graphile-worker with batched claims and completions: no HTTP, no status to poll, no history.
// Prints how many jobs a second one process drains that were queued before it started.
import pg from 'pg';
import { run, makeWorkerUtils } from 'graphile-worker';

const count = Number(process.argv[2] ?? 20000);
const pool = new pg.Pool({ connectionString: process.env.PG_DSN, max: 12 });
pool.on('error', () => {});
const utils = await makeWorkerUtils({ pgPool: pool });
await utils.migrate();
for (let done = 0; done < count; done += 5000) {
  await utils.addJobs(Array.from({ length: Math.min(5000, count - done) },
    (_, n) => ({ identifier: 'noop', payload: { n } })));
}
const quiet = () => {};
const { Logger } = await import('graphile-worker');
let finish;
const finished = new Promise((resolve) => { finish = resolve; });
let ran = 0;
const begun = performance.now();
const runner = await run({
  pgPool: pool,
  noHandleSignals: true,
  logger: new Logger(() => quiet),
  taskList: { noop: () => { if (++ran === count) finish(); } },
  preset: {
    worker: {
      concurrentJobs: 24,
      localQueue: { size: 500 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    },
  },
});
await finished;
// The last batch is complete when the table is empty.
for (;;) {
  const { rows: [{ left }] } = await pool.query(
    'select count(*)::int as left from graphile_worker._private_jobs');
  if (left === 0) break;
}
console.log(Math.round((count / (performance.now() - begun)) * 1000));
await runner.stop();
await pool.end();
