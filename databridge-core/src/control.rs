//! Who may do what, what was done, and what is still to do: the store, the
//! ledger, durable jobs and identity. It knows no domain.

pub mod commands;
pub mod ctx;
pub mod db;
pub mod identity;
pub mod inbox;
pub mod jobs;
pub mod ledger;
pub mod limits;
pub mod looks;
pub mod outbound;
pub mod recovery;
pub mod retention;
