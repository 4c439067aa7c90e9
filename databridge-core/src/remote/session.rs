//! A session at a daemon that renews itself.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Error, Remote};
use crate::base::clock::Timestamp;
use crate::control::identity::Session;

/// A token that ends within this time is renewed before it is used.
const EARLY: Duration = Duration::from_secs(60);

/// Shares a session with other processes. A refresh token serves once, so that one of
/// them renews and the others take what it got.
pub trait Keeper: Send + Sync {
    /// Runs `renew` while no other process does: with the session as it is stored now,
    /// where it is another than ours. What it answers is stored.
    ///
    /// # Errors
    /// What `renew` says; a store that fails is no error, the session only is our own.
    fn exchange(
        &self,
        renew: &mut dyn FnMut(Option<Session>) -> Result<Session, Error>,
    ) -> Result<Session, Error>;
}

/// The newest tokens, one renewal at a time.
pub(super) struct Renewed {
    session: Mutex<Session>,
    keeper: Option<Box<dyn Keeper>>,
}

fn fresh(session: &Session) -> bool {
    session.expires_at > Timestamp::now() + EARLY
}

impl Renewed {
    pub fn new(session: Session, keeper: Option<Box<dyn Keeper>>) -> Self {
        Self { session: Mutex::new(session), keeper }
    }

    /// A token that still holds for a while, as far as the clocks agree.
    pub fn token(&self, remote: &Remote) -> Result<String, Error> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if !fresh(&session) && !session.refresh_token.is_empty() {
            match self.next(remote, &session) {
                Ok(next) => *session = next,
                // A token that still holds is good enough while nobody answers.
                Err(Error::Unreachable { .. }) if session.expires_at > Timestamp::now() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(session.access_token.clone())
    }

    /// The daemon refused `token`: gets another, unless another thread has done so.
    pub fn renew(&self, remote: &Remote, token: &str) -> Result<bool, Error> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if session.access_token != token {
            return Ok(true);
        }
        if session.refresh_token.is_empty() {
            return Ok(false);
        }
        *session = self.next(remote, &session)?;
        Ok(true)
    }

    fn next(&self, remote: &Remote, ours: &Session) -> Result<Session, Error> {
        let mut renew = |stored: Option<Session>| match stored {
            Some(other) if other.access_token != ours.access_token && fresh(&other) => Ok(other),
            Some(other) if !other.refresh_token.is_empty() => remote.refresh(&other.refresh_token),
            _ => remote.refresh(&ours.refresh_token),
        };
        match &self.keeper {
            None => renew(None),
            Some(keeper) => keeper.exchange(&mut renew),
        }
    }
}
