//! Coming in, over HTTP, at the built daemon: sessions, keys, locks, the directory,
//! deputies; on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// Makes each function a test on either database.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $name() { super::$name(crate::desk::Kind::Sqlite) })+
        }
        mod postgres {
            $(#[test] fn $name() { super::$name(crate::desk::Kind::Postgres) })+
        }
    };
}

mod desk;

mod deputies;
mod directory;
mod keys;
mod locks;
mod sessions;
