//! The hands of Lyo: runs tasks and writes what came of them.
