//! How many requests somebody may make in a minute: fixed windows, shared by all
//! hosts of a store. Only programs that serve others ask; an embedded store has none.

mod sql;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::commands::Store;
use super::db::dialect::Dialect;
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::base::error::{ErrorKind, Fault};

/// Seconds of a window.
const WINDOW: i64 = 60;
/// Callers that are remembered in one process before old ones are forgotten.
const MANY: usize = 10_000;

/// Requests a minute, for one caller and one part of the interface; 0 is without
/// limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Attempts to sign in, of one address.
    pub login_per_minute: i64,
    /// What reads.
    pub reads_per_minute: i64,
    /// What acts.
    pub writes_per_minute: i64,
    /// Files put into transfers: a delivery has thousands.
    pub uploads_per_minute: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            login_per_minute: 10,
            reads_per_minute: 200,
            writes_per_minute: 100,
            uploads_per_minute: 0,
        }
    }
}

/// What a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Signing in.
    Login,
    /// Reading.
    Read,
    /// Acting.
    Write,
    /// Putting a file.
    Upload,
}

/// Where a caller stands in the current window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Requests in a window.
    pub limit: i64,
    /// How many are left.
    pub remaining: i64,
    /// Seconds until the next window begins, 1 to 60.
    pub reset_seconds: i64,
    /// Whether this request is within the limit.
    pub admitted: bool,
}

/// More than the limit.
#[derive(Debug, thiserror::Error)]
#[error("more than {limit} requests a minute; the next is taken in {reset_seconds} s")]
pub struct Exceeded {
    /// Requests in a window.
    pub limit: i64,
    /// Seconds until the next window begins.
    pub reset_seconds: i64,
}

impl Fault for Exceeded {
    fn kind(&self) -> ErrorKind {
        ErrorKind::RateLimited
    }
    fn code(&self) -> &str {
        "limits.exceeded"
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some("wait as long as Retry-After says; `limits` in the configuration sets them".into())
    }
}

/// Counts requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Limits {
    store: Store,
    settings: Arc<RwLock<Settings>>,
    /// Where there is one process: what each caller did in which window.
    here: Arc<Mutex<HashMap<String, (i64, i64)>>>,
}

impl Limits {
    /// Over an open store.
    pub fn new(store: Store, settings: Settings) -> Self {
        Self { store, settings: Arc::new(RwLock::new(settings)), here: Arc::default() }
    }

    /// Other limits from now on; what was counted in this minute still counts.
    pub fn set(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    fn limit(&self, class: Class) -> i64 {
        let settings = self.settings.read().unwrap_or_else(PoisonError::into_inner);
        match class {
            Class::Login => settings.login_per_minute,
            Class::Read => settings.reads_per_minute,
            Class::Write => settings.writes_per_minute,
            Class::Upload => settings.uploads_per_minute,
        }
    }

    /// Counts a request of `caller` to `part` of the interface; `None` where there is
    /// no limit.
    ///
    /// # Errors
    /// [`super::db::Error`] where the shared table cannot be reached.
    pub async fn count(
        &self,
        class: Class,
        part: &str,
        caller: &str,
    ) -> Result<Option<Window>, AnyError> {
        let limit = self.limit(class);
        if limit <= 0 {
            return Ok(None);
        }
        let key = format!("{class:?} {part} {caller}");
        let (hits, second) = match self.store.db().dialect() {
            Dialect::Sqlite => self.count_here(key, Timestamp::now().as_micros() / 1_000_000),
            Dialect::Postgres => {
                let mut tx = self.store.write().await?;
                let counted = sql::count(&mut tx, &key, WINDOW).await?;
                if counted.0 == 1 {
                    sql::forget(&mut tx, counted.1 / WINDOW).await?;
                }
                tx.commit().await?;
                counted
            }
        };
        Ok(Some(Window {
            limit,
            remaining: (limit - hits).max(0),
            reset_seconds: WINDOW - second.rem_euclid(WINDOW),
            admitted: hits <= limit,
        }))
    }

    fn count_here(&self, key: String, second: i64) -> (i64, i64) {
        let window = second / WINDOW;
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        if here.len() > MANY {
            here.retain(|_, (then, _)| *then == window);
        }
        let entry = here.entry(key).or_insert((window, 0));
        if entry.0 != window {
            *entry = (window, 0);
        }
        entry.1 += 1;
        (entry.1, second)
    }
}

impl Window {
    /// The refusal, where the request is beyond the limit.
    pub fn exceeded(&self) -> Option<Exceeded> {
        let Self { limit, reset_seconds, admitted, .. } = *self;
        (!admitted).then_some(Exceeded { limit, reset_seconds })
    }
}
