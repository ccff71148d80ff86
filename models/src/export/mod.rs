//! The whole course as one document, and as Markdown.
//!
//! Neither holds row ids or times, so the same brief, seed and model export byte for byte the same.

mod document;
mod markdown;

pub use document::{
    Answer, DOCUMENT_SCHEMA, Document, DocumentLesson, DocumentModule, DocumentQuiz, Question,
    document,
};
pub use markdown::markdown;
