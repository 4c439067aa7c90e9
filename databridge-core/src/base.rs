//! What every storey needs: error kinds, identifiers, time, cancellation.

pub mod cancel;
pub mod clock;
pub mod error;
pub mod id;
pub mod schedule;
pub mod steps;
