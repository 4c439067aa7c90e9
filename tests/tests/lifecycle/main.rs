//! The whole life of a transfer, driven in-process through the facade, the same
//! tests on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// Makes each function a test on either database.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(crate::lab::Kind::Sqlite).await })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(crate::lab::Kind::Postgres).await })+
        }
    };
}

mod lab;

mod adding;
mod can;
mod chains;
mod clock;
mod concurrency;
mod content;
mod cut;
mod delivery;
mod drain;
mod explain;
mod housekeeping;
mod http;
mod identity;
mod lease;
mod ledger;
mod limits;
mod lineage;
mod machine;
mod matrix;
mod names;
mod orgs;
mod paths;
mod recall;
mod scanning;
mod space;
mod staging;
mod terms;
mod traffic;
mod upgrade;
mod uploads;
mod whereabouts;
