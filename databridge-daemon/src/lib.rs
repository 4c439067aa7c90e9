//! The shells: they translate between people or programs and
//! [`databridge_core::app`], and hold no rule.

pub mod cli;
pub mod config;
pub mod http;
pub mod log;
pub mod reload;
