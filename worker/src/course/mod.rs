//! How a course is written, apart from running: prompts, the form of answers, gates, seeds.
//!
//! What is asked stands in `prompts`, how an answer looks in `outline`, `lesson` and `quiz`, what is
//! wrong with it in `gates` and `review`. `ask` is the only file here that talks to a model.

pub(crate) mod announce;
pub(crate) mod ask;
pub(crate) mod gates;
pub(crate) mod lesson;
pub(crate) mod limits;
pub(crate) mod loops;
pub(crate) mod outline;
pub(crate) mod planning;
pub(crate) mod prompts;
pub(crate) mod quiz;
pub(crate) mod review;
pub(crate) mod sampling;
pub(crate) mod schema;
pub(crate) mod seeds;
pub(crate) mod text;
