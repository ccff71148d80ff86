//! The lyo command.
fn main() {}
