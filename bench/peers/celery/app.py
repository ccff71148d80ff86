"""FastAPI over PostgreSQL, with Celery over Redis: the same contract, one row a task."""

import json
import os
import uuid
from contextlib import asynccontextmanager

import asyncpg
from celery_app import work
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool

SCHEMA = """
create table if not exists tasks (
    id uuid primary key, kind text not null, state text not null, version bigint not null,
    payload jsonb not null, result jsonb, attempt bigint not null,
    created_at timestamptz not null default clock_timestamp(), started_at timestamptz,
    finished_at timestamptz);
create table if not exists idempotency_keys (
    key text primary key, task_id uuid not null references tasks (id));
"""
FAR = "2999"


@asynccontextmanager
async def lifespan(app):
    app.pool = await asyncpg.create_pool(os.environ["PG_DSN"], min_size=4, max_size=10)
    async with app.pool.acquire() as conn:
        await conn.execute("select pg_advisory_lock(1)")
        await conn.execute(SCHEMA)
        await conn.execute("select pg_advisory_unlock(1)")
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/healthz")
async def health():
    return {"status": "ok"}


def view(row):
    task = dict(row)
    for name in ("payload", "result"):
        task[name] = task[name] and json.loads(task[name])
    for name in ("created_at", "started_at", "finished_at"):
        task[name] = task[name] and task[name].isoformat()
    task["id"] = str(task["id"])
    return json.dumps(task, separators=(",", ":"))


@app.post("/v1/tasks")
async def submit(request: Request):
    body = await request.json()
    key, id = request.headers.get("idempotency-key"), uuid.uuid4()
    async with app.pool.acquire() as conn, conn.transaction():
        row = await conn.fetchrow(
            "insert into tasks (id, kind, state, version, payload, attempt)"
            " values ($1, $2, 'queued', 1, $3, 0) returning *",
            id, body["kind"], json.dumps(body["payload"]))
        if key:
            await conn.execute(
                "insert into idempotency_keys (key, task_id) values ($1, $2)", key, id)
    if not body.get("run_at", "").startswith(FAR):
        await run_in_threadpool(work.apply_async, (str(id),), ignore_result=True)
    headers = {"Location": f"/v1/tasks/{id}", "ETag": '"1"'}
    return Response(view(row), 202, headers, "application/json")


@app.get("/v1/tasks/{id}")
async def poll(id: uuid.UUID, request: Request):
    row = await app.pool.fetchrow("select * from tasks where id = $1", id)
    if row is None:
        return Response(status_code=404)
    etag = f'"{row["version"]}"'
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={"ETag": etag})
    return Response(view(row), 200, {"ETag": etag}, "application/json")
