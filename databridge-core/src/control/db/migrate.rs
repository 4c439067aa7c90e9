//! Forward migrations, embedded, one text for both databases.

use std::borrow::Cow;

use sqlx::migrate::{Migration as Step, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr};

use super::dialect::Dialect;

/// One step of the schema. The kernel counts from 1000, each domain from a
/// thousand of its own; a step that was released is never edited.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Orders the steps.
    pub version: i64,
    /// What it brings.
    pub name: &'static str,
    /// The text, with PostgreSQL's types; see [`Dialect::schema`].
    pub sql: &'static str,
}

/// The kernel's own steps.
pub(super) const KERNEL: &[Migration] = &[
    Migration { version: 1001, name: "kernel", sql: include_str!("migrations/1001_kernel.sql") },
    Migration { version: 1030, name: "limits", sql: include_str!("migrations/1030_limits.sql") },
    Migration { version: 1031, name: "traffic", sql: include_str!("migrations/1031_traffic.sql") },
    Migration { version: 1040, name: "signin", sql: include_str!("migrations/1040_signin.sql") },
    Migration { version: 1041, name: "hosts", sql: include_str!("migrations/1041_hosts.sql") },
    Migration { version: 1050, name: "inbox", sql: include_str!("migrations/1050_inbox.sql") },
    Migration {
        version: 1080,
        name: "retention",
        sql: include_str!("migrations/1080_retention.sql"),
    },
    Migration {
        version: 1090,
        name: "subjects",
        sql: include_str!("migrations/1090_subjects.sql"),
    },
];

pub(super) fn migrator(dialect: Dialect, domains: &[&[Migration]]) -> Migrator {
    Migrator::with_migrations(
        std::iter::once(KERNEL)
            .chain(domains.iter().copied())
            .flatten()
            .map(|m| {
                let sql = AssertSqlSafe(dialect.schema(m.sql)).into_sql_str();
                Step::new(m.version, Cow::Borrowed(m.name), MigrationType::Simple, sql, false)
            })
            .collect(),
    )
}
