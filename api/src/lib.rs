//! The HTTP face of Lyo: authorise, one or two model calls, enqueue, commit.
