//! The inner loops of a model on a CPU, over plain slices.
//!
//! `machine` says what a processor does with eight numbers and with rows of a matrix, `x86`, `bytes` and
//! `portable` do it; `weights` holds the matrices, the largest one by halves in `planes`, `tile` the
//! tokens, and `multiply` with `product`, `attend` and `norm` are what happens to them. `pool` spreads it
//! over threads, `huge` puts weights where they are found fast.
//! All of them compute every token by itself, in one order, so a token's result does not depend on
//! its company, on threads or on the processor.
//!
//! What vectors go through is `inline(always)`, closures included, and not handed to `map` and its like:
//! a function that is compiled by itself knows nothing of the processor's features, and every
//! operation in it becomes a call.

pub(crate) mod attend;
#[cfg(target_arch = "x86_64")]
mod bytes;
pub(crate) mod huge;
pub(crate) mod machine;
pub(crate) mod multiply;
pub(crate) mod norm;
pub(crate) mod planes;
pub(crate) mod pool;
pub(crate) mod portable;
mod product;
#[cfg(test)]
mod reference;
pub(crate) mod tile;
pub(crate) mod weights;
#[cfg(target_arch = "x86_64")]
mod x86;
