//! The moment in which a copy appears.

use serde::Serialize;

use crate::base::steps;
use crate::media::monitor::Monitor;

use super::attributes;
use super::behind::Ahead;
use super::error::Error;
use super::journal::{Identity, Mark};
use super::names::Kind;
use super::read_back::read_back;
use super::session::Session;
use super::site::Standing;
use super::{Plan, RenameMethod, Shape};

/// How a copy got to its final path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Published {
    /// An earlier life had renamed it; it was read back again and taken as done.
    pub adopted: bool,
    /// How the rename was done.
    pub rename: RenameMethod,
}

/// Makes a verified copy appear at its final path, durably; or adopts it there if
/// an earlier life of this attempt had come so far, after reading it back whole
/// (unless [`super::verify`] just did).
///
/// Steps: `copy.journal_identity`, then the rename, `copy.published`, and
/// `copy.parent_flushed`.
///
/// # Errors
/// [`Error::DestinationExists`], [`Error::NotVerified`] if something changed since
/// the read-back, [`Error::Fenced`], or what the system said. If it fails after
/// the rename, [`super::prepare`] and another round adopt what stands there.
pub fn publish(plan: &Plan, monitor: &dyn Monitor) -> Result<Published, Error> {
    let session = Session::open(plan, false)?;
    let site = &session.site;
    let facts = session.listing()?.digest();
    let verified = session.record.verified.as_ref().is_some_and(|done| done.facts == facts);
    if let (Standing::Published, Some(identity)) = (session.standing, session.record.publishing) {
        if !verified {
            read_back(&session, &Ahead::default(), monitor)?;
        }
        site.flush()?;
        steps::reach("copy.parent_flushed");
        return Ok(Published { adopted: true, rename: identity.rename });
    }
    if !verified {
        return Err(Error::NotVerified { path: site.path(&site.own(Kind::Partial)) });
    }
    if plan.shape == Shape::Tree {
        let partial = site.own(Kind::Partial);
        attributes::settle_root(&session)?;
        session.flush_dir(&partial)?;
    }
    let from = session.publishable();
    let Some(stat) = site.stat(&from)? else { return Err(site.fenced(None)) };
    let manifest = Some(plan.manifest.digest());
    let announce = |rename| {
        let identity = Identity { device: stat.dev, inode: stat.ino, rename, facts, manifest };
        session.journal.append(&Mark::Publishing(identity))?;
        session.journal.sync()
    };
    announce(RenameMethod::NoReplace)?;
    steps::reach("copy.journal_identity");
    let rename =
        site.rename_checked(&from, site.final_name(), || announce(RenameMethod::Checked))?;
    steps::reach("copy.published");
    site.flush()?;
    steps::reach("copy.parent_flushed");
    Ok(Published { adopted: false, rename })
}
