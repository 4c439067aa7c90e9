//! A delivery on its way from staging to production: created and filled by an
//! artist, approved by a chain of reviewers, scanned, copied, read back, proved.

mod adding;
mod chain;
mod delivery;
mod drafting;
mod error;
mod explain;
mod hooks;
mod housekeeping;
mod ingest;
mod jobs;
mod layout;
mod notices;
mod places;
mod priority;
mod proof;
mod query;
mod recall;
mod receiving;
mod review;
mod scanning;
mod service;
mod space;
mod sql;
mod standing;
pub mod state;
mod types;
mod uploads;
mod whereabouts;

pub use adding::Error as AddError;
pub use chain::{Chain, NewChain, Stage};
pub use error::Error;
pub use explain::{Explanation, Step, Waits};
pub use housekeeping::{Keep, Leftover, Leftovers, Stuck, What};
pub use ingest::Ingest;
pub use layout::{Kind as FieldKind, Layout, Meta, Metadata, Rule as LayoutRule, Template};
pub use places::Places;
pub use priority::{Pause, Priority};
pub use query::{Detail, ScanView};
pub use recall::{Recall, RecallRequest};
pub use service::{Policy, Service};
pub use space::Reserve;
pub use standing::Standing;
pub use types::{
    Approval, Create, FileView, Filter, Override, RevisionView, TransferView, Upload, UploadedFile,
};
pub use whereabouts::{Translation, Whereabouts};

pub use uploads::{
    Checked, Collected, Error as UploadError, Limits, NewUpload, Piece, Room, UploadView, Writer,
};

use crate::control::db::Migration;

/// The domain's steps of the schema.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 2001,
        name: "transfer",
        sql: include_str!("transfer/migrations/2001_transfer.sql"),
    },
    Migration {
        version: 2010,
        name: "scanned files",
        sql: include_str!("transfer/migrations/2010_scanned_files.sql"),
    },
    Migration {
        version: 2031,
        name: "priority",
        sql: include_str!("transfer/migrations/2031_priority.sql"),
    },
    Migration {
        version: 2032,
        name: "parents",
        sql: include_str!("transfer/migrations/2032_parents.sql"),
    },
    Migration {
        version: 2060,
        name: "uploads",
        sql: include_str!("transfer/migrations/2060_uploads.sql"),
    },
    Migration {
        version: 2070,
        name: "paths",
        sql: include_str!("transfer/migrations/2070_paths.sql"),
    },
    Migration {
        version: 2071,
        name: "recall",
        sql: include_str!("transfer/migrations/2071_recall.sql"),
    },
    Migration {
        version: 2090,
        name: "published",
        sql: include_str!("transfer/migrations/2090_published.sql"),
    },
    Migration {
        version: 2091,
        name: "deferred",
        sql: include_str!("transfer/migrations/2091_deferred.sql"),
    },
];
