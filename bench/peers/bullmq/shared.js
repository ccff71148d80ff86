// Where PostgreSQL and Redis are.
import pg from 'pg';

pg.types.setTypeParser(1184, (text) => new Date(text).toISOString());
export const pool = new pg.Pool({ connectionString: process.env.PG_DSN, max: 10 });
const redis = new URL(process.env.REDIS_URL);
export const connection = { host: redis.hostname, port: Number(redis.port) };
