//! Where a transfer's files are, as the asking client's system calls the place.

use serde::{Deserialize, Serialize};

use super::service::visible;
use super::{Service, sql};
use crate::base::error::Error as AnyError;
use crate::control::ctx::Ctx;
use crate::media::mounts::{Error as NoPath, System};
use crate::media::storage::Location;

/// Where a transfer's files are, on one system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Whereabouts {
    /// `TRF-00042`.
    pub code: String,
    /// Where it stands: what is not delivered is not there yet.
    pub state: String,
    /// Whose names these are.
    pub system: System,
    /// The payload in production; a URL, where that is an object store.
    pub production: String,
    /// Its proof.
    pub proof: String,
    /// The frozen files in staging; `None` before there are any, or where that system
    /// does not mount staging.
    pub staging: Option<String>,
    /// The folder where it is kept, if it was recalled.
    pub recalled: Option<String>,
}

/// A path, as another system calls it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Translation {
    /// Whose name it is.
    pub system: System,
    /// The path.
    pub path: String,
}

impl Service {
    /// Where a transfer's files are, as `system` calls the places.
    ///
    /// # Errors
    /// [`super::Error::NotFound`]; where the system does not mount production
    /// [`NoPath`].
    pub async fn whereabouts(
        &self,
        ctx: &Ctx,
        code: &str,
        system: System,
    ) -> Result<Whereabouts, AnyError> {
        let mut tx = self.store.db().read().await?;
        let t = visible(ctx, sql::by_code(&mut tx, ctx.org, code).await?, code)?;
        drop(tx);
        let payload = self.places.payload(&t.path);
        let staging = t.manifest_digest.map(|_| self.places.frozen(&t.code, t.revision));
        let staging = staging.and_then(|path| self.named(system, &path.into()).ok());
        let recalled = t.recall.as_ref().and_then(|recall| recall.place.clone());
        let recalled = recalled.map(|place| self.policy.mounts.for_client(system, &place));
        Ok(Whereabouts {
            state: t.state_name(),
            system,
            production: self.named(system, &payload)?,
            proof: self.named(system, &payload.with_suffix(".proof"))?,
            staging,
            recalled: recalled.transpose()?,
            code: t.code,
        })
    }

    /// A place, as `system` calls it. An object store has one name for everybody.
    fn named(&self, system: System, place: &Location) -> Result<String, NoPath> {
        match place {
            Location::Path(path) => {
                self.policy.mounts.for_client(system, &path.display().to_string())
            }
            Location::Object(_) => Ok(place.url()),
        }
    }

    /// What `to` calls a path of `from`. Nothing is looked at but the list of mounts.
    ///
    /// # Errors
    /// [`NoPath`].
    pub fn translate(&self, from: System, to: System, path: &str) -> Result<Translation, AnyError> {
        Ok(Translation { system: to, path: self.policy.mounts.between(from, to, path)? })
    }
}
