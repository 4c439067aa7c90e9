//! Looks at mounts that may hang. A thread that looks at one comes back when the mount
//! does, however long nobody waits for it any more: so one at a time looks at each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a look is waited for.
pub const PATIENCE: Duration = Duration::from_secs(3);

type Turn = Arc<tokio::sync::Mutex<()>>;

/// Of each root that was looked at, whose turn it is.
static TURNS: Mutex<BTreeMap<PathBuf, Turn>> = Mutex::new(BTreeMap::new());

/// What `look` finds at a root; nothing where the root does not answer in time.
pub async fn at<T: Send + 'static>(
    root: &Path,
    look: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let turn = {
        let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(root.to_owned()).or_default().clone()
    };
    let looked = async {
        let turn = turn.lock_owned().await;
        let looking = tokio::task::spawn_blocking(move || {
            let found = look();
            drop(turn);
            found
        });
        looking.await.ok()
    };
    tokio::time::timeout(PATIENCE, looked).await.ok().flatten()
}
