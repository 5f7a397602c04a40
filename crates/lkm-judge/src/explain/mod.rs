//! `lkm explain`: the page of each rule, and a reader of oops texts.

pub mod oops;
mod pages;

pub use oops::{Explanation, explain_text};
pub use pages::page;
