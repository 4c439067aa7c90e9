//! The REST interface of a real daemon, as strangers meet it, on both databases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// Makes each function a test on either database.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite { $(#[test] fn $name() { super::$name(crate::desk::Kind::Sqlite) })+ }
        mod postgres { $(#[test] fn $name() { super::$name(crate::desk::Kind::Postgres) })+ }
    };
}

mod desk;

mod activity;
mod adding;
mod backup;
mod backups;
mod contract;
mod disk;
mod drain;
mod events;
mod hooks;
mod housekeeping;
mod input;
mod late;
mod metrics;
mod operations;
mod people;
mod reload;
mod restore;
mod strangers;
mod streams;
mod tls;
mod uploads;
