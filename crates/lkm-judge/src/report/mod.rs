//! The forms of a report.

pub mod json;
pub mod summary;
pub mod text;
