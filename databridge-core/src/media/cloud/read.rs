//! Reading an object from its start to its end, hashed.

use std::collections::VecDeque;

use super::store::{Fact, Store};
use crate::media::checksum::{Algorithm, Digests, Hasher};
use crate::media::copy::Error;
use crate::media::monitor::{Monitor, Progress};

/// Asked for at a time.
const RANGE_BYTES: u64 = 4 << 20;
/// Ranges on their way at a time, for one object.
const AHEAD: usize = 3;

/// Reads an object as it was when `fact` was seen, range by range, each given to
/// `take` in order; its digests.
///
/// # Errors
/// [`super::Error::Changed`] if it is another by now.
pub fn object(
    store: &Store,
    key: &str,
    fact: &Fact,
    algorithms: &[Algorithm],
    monitor: &dyn Monitor,
    mut take: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<Digests, Error> {
    let mut hash = Hasher::new(algorithms);
    let mut asked = 0;
    let mut coming = VecDeque::new();
    loop {
        while asked < fact.size_bytes && coming.len() < AHEAD {
            let range = asked..fact.size_bytes.min(asked + RANGE_BYTES);
            asked = range.end;
            let (of, key, etag) = (store.clone(), key.to_owned(), fact.etag.clone());
            let work = async move { of.range(&key, range, etag.as_deref()).await };
            coming.push_back(Abort(store.spawn(work)));
        }
        let Some(mut next) = coming.pop_front() else { break };
        let bytes =
            store.wait(monitor, async { (&mut next.0).await.unwrap_or(Err(Error::Cancelled)) })?;
        hash.update(&bytes);
        take(&bytes)?;
        monitor.on(Progress::Bytes(bytes.len() as u64));
    }
    Ok(hash.finish())
}

/// A task that ends with whoever wanted it.
pub struct Abort<T>(pub tokio::task::JoinHandle<T>);

impl<T> Drop for Abort<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
