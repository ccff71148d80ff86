# Short names for what is typed often. `just` lists them.

_:
    @just --list --unsorted

# Write a course about a topic
course topic *args:
    cargo run -- course "{{ topic }}" {{ args }}

# Run API and worker in one process
dev *args:
    cargo run -- dev {{ args }}

# Every check, as CI runs them; with arguments, the tests of one crate
test *args:
    scripts/test {{ args }}

# Format the code
fmt:
    cargo fmt --all

# Start the private PostgreSQL that tests use
services:
    scripts/dev-services start

# Hold a running lyo to a real mail server
smtp:
    scripts/smtp

# Fuzz the HTTP contract of a running lyo
contract:
    scripts/contract

# Look for images that break the decoder
fuzz *seconds:
    scripts/fuzz {{ seconds }}
