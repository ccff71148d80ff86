//! Rows, SQL and domain rules of Lyo over SQLite and PostgreSQL.
