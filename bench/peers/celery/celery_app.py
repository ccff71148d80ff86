"""The worker: acknowledges late, so that a task whose worker dies is run again."""

import os

import psycopg
from celery import Celery

app = Celery("bench", broker=os.environ["REDIS_URL"])
app.conf.update(task_acks_late=True, task_ignore_result=True, worker_prefetch_multiplier=64,
                broker_connection_retry_on_startup=True)
_conn = None


def connection():
    global _conn
    if _conn is None:
        _conn = psycopg.connect(os.environ["PG_DSN"], autocommit=True)
    return _conn


@app.task(name="work")
def work(id):
    conn = connection()
    conn.execute(
        "update tasks set state = 'running', version = version + 1, attempt = attempt + 1,"
        " started_at = clock_timestamp() where id = %s and state <> 'succeeded'", (id,))
    conn.execute(
        "update tasks set state = 'succeeded', version = version + 1,"
        " result = jsonb_build_object('n', payload -> 'n'), finished_at = clock_timestamp()"
        " where id = %s and state = 'running'", (id,))
