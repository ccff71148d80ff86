//! A letter is a function from variables and a language to a subject, HTML and text.
//!
//! `letters` holds one prose file a letter and language. Each is compiled once: its blocks become
//! MJML, which mrml turns into HTML for every mail reader, and a plain text, so both parts come from
//! one source and cannot say different things. What is filled in later is escaped, and the blocks
//! are known before, so no variable can add one.

mod compose;
mod language;
mod letter;
mod sample;
mod source;

pub use language::Language;
pub use letter::{Content, Links, render};
pub use sample::{links, variables};
