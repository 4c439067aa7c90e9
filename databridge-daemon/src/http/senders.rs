//! How many files come in at a time. Each holds one of the threads that everything waits
//! for that reads or writes files (tokio has 512), also while its sender sends nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use databridge_core::control::ctx::Ctx;
use uuid::Uuid;

use super::problem::Problem;

/// Of all senders.
const ALL: usize = 256;
/// Of one user, so that nobody can take the others' place.
const EACH: usize = 64;

/// Who sends how many files now.
#[derive(Debug, Default)]
pub(super) struct Senders {
    sending: Mutex<HashMap<Uuid, usize>>,
}

/// One file that comes in, until it is dropped.
#[derive(Debug)]
pub(super) struct Sending {
    senders: Arc<Senders>,
    user: Uuid,
}

impl Senders {
    /// Lets one more in.
    pub fn admit(self: &Arc<Self>, ctx: &Ctx) -> Result<Sending, Problem> {
        let user = ctx.actor.user_id.0;
        let mut sending = self.sending();
        if sending.values().sum::<usize>() >= ALL {
            return Err(Problem::crowded(ALL, "are being sent"));
        }
        let own = sending.entry(user).or_default();
        if *own >= EACH {
            return Err(Problem::crowded(EACH, "are being sent by you"));
        }
        *own += 1;
        Ok(Sending { senders: Arc::clone(self), user })
    }

    fn sending(&self) -> MutexGuard<'_, HashMap<Uuid, usize>> {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let mut sending = self.senders.sending();
        if let Some(own) = sending.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                sending.remove(&self.user);
            }
        }
    }
}
