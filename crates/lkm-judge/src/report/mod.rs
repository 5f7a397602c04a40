//! The forms of a report.

pub mod html;
pub mod json;
pub mod sarif;
pub mod summary;
mod svg;
pub mod text;
