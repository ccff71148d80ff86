//! Job definitions, the tasks table, the bell and the relay.
