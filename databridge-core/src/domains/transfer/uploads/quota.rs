//! How much a transfer, and everything of its owner, may come to.

use super::super::Service;
use super::super::sql;
use super::super::state::Action;
use super::super::types::Transfer;
use super::Error;
use crate::base::error::Error as AnyError;
use crate::control::commands::Unit;
use crate::control::ctx::Ctx;
use crate::media::storage::RelPath;

/// What there is room for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Room(Option<Quota>);

/// The tightest of those that hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Quota {
    whose: String,
    is_user: bool,
    limit: u64,
    left: u64,
}

impl Room {
    /// Bytes that can still come.
    pub fn left(&self) -> u64 {
        self.0.as_ref().map_or(u64::MAX, |quota| quota.left)
    }

    /// Refuses what there is no room for.
    ///
    /// # Errors
    /// [`Error::Quota`].
    pub fn hold(&self, bytes: u64) -> Result<(), Error> {
        match &self.0 {
            Some(Quota { whose, is_user, limit, left }) if bytes > *left => Err(Error::Quota {
                whose: whose.clone(),
                is_user: *is_user,
                limit: *limit,
                left: *left,
            }),
            _ => Ok(()),
        }
    }

    /// The same with another limit, of which so much is taken.
    fn within(self, limit: Option<u64>, taken: u64, whose: &str, is_user: bool) -> Self {
        let Some(limit) = limit else { return self };
        let left = limit.saturating_sub(taken);
        if left >= self.left() {
            return self;
        }
        Self(Some(Quota { whose: whose.to_owned(), is_user, limit, left }))
    }
}

impl Service {
    /// Checks, before any byte is taken in, that the caller may put a file at `path`, and
    /// answers how long it may be.
    ///
    /// # Errors
    /// As [`Service::add`].
    pub async fn room_for(&self, ctx: &Ctx, code: &str, path: &RelPath) -> Result<Room, AnyError> {
        let (mut unit, mut t) = self.begin(ctx, code, Action::Upload).await?;
        self.step(&mut unit, &mut t, Action::Upload).await?;
        self.room(&mut unit, &t, Some(path)).await
    }

    /// What there is room for beside what is in the transfer, or announced for it; what
    /// stands at `path` will be replaced.
    pub(in super::super) async fn room(
        &self,
        unit: &mut Unit,
        t: &Transfer,
        path: Option<&RelPath>,
    ) -> Result<Room, AnyError> {
        let limits = &self.policy.uploads;
        if limits.user_bytes.is_none() && limits.transfer_bytes.is_none() {
            return Ok(Room::default());
        }
        let now = unit.now();
        if limits.user_bytes.is_some() {
            sql::hold_owner(unit.tx(), t.owner_id).await?;
        }
        let here = sql::bytes_beside(unit.tx(), t.id, t.revision, path).await?
            + sql::announced(unit.tx(), t.id, path, now).await?;
        let room = Room::default().within(limits.transfer_bytes, here, &t.code, false);
        if limits.user_bytes.is_none() {
            return Ok(room);
        }
        let others = sql::bytes_of_owner(unit.tx(), t.owner_id, t.id, now).await?;
        Ok(room.within(limits.user_bytes, here + others, &t.owner, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_quota_holds() {
        let open = Room::default();
        assert!(open.hold(u64::MAX).is_ok());
        let room = open.within(Some(100), 40, "TRF-00001", false);
        assert_eq!(room.left(), 60);
        assert!(room.hold(60).is_ok() && room.hold(61).is_err());
        let wide = room.clone().within(Some(1000), 40, "artist", true);
        assert_eq!(wide, room);
        let tight = room.clone().within(Some(50), 40, "artist", true);
        assert!(matches!(tight.hold(11), Err(Error::Quota { is_user: true, left: 10, .. })));
        // A limit that was lowered since.
        assert_eq!(room.clone().within(Some(10), 40, "artist", true).left(), 0);
        assert_eq!(room.within(None, 0, "artist", true).left(), 60);
    }
}
