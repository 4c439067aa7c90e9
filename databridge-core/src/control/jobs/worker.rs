//! Taking jobs, keeping their leases, and what follows when one fails.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::lease::Hold;
use super::traffic::Traffic;
use super::{Capability, Lease, Tally, Watch, sql};
use crate::base::cancel::Cancel;
use crate::base::error::{Error, ErrorKind, Fault};
use crate::base::id::JobId;
use crate::control::commands::Store;
use crate::media::monitor::Phase;
use crate::workflow::Symbol;

/// What a handler returns.
pub type HandlerFuture<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

/// Does the jobs of one domain.
pub trait Handler: Send + Sync {
    /// Which kinds of job it knows.
    fn kinds(&self) -> &'static [&'static str];

    /// The phases that a job of `kind` and what follows it go through, for the
    /// estimate of its end.
    fn passes(&self, _kind: &str) -> &'static [Phase] {
        &[]
    }

    /// What a host must have to do a job of `kind`.
    fn needs(&self, _kind: &str) -> &'static [Capability] {
        &[]
    }

    /// The kinds that move what a studio's network feels: they keep to the hours of
    /// [`Traffic`].
    fn bulk(&self) -> &'static [&'static str] {
        &[]
    }

    /// How often a job is tried, where that is not as usual.
    fn retry(&self, _lease: &Lease) -> Option<Retry> {
        None
    }

    /// Does the job and, in the transaction of its effects, calls
    /// [`Unit::finish`](crate::control::commands::Unit::finish).
    fn run<'a>(&'a self, lease: &'a Lease, watch: &'a Watch) -> HandlerFuture<'a>;

    /// The job will not be tried again: says so on the subject and, in the same
    /// transaction, calls [`Unit::bury`](crate::control::commands::Unit::bury).
    fn give_up<'a>(&'a self, lease: &'a Lease, error: &'a Error) -> HandlerFuture<'a>;
}

/// How often a job that fails for a passing reason is taken up, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// At most so often.
    pub attempts: i64,
    /// The wait before the second attempt; it doubles,
    pub backoff: Duration,
    /// up to this, at most [`LONGEST_BACKOFF`].
    pub longest: Duration,
}

/// How a worker works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a job stays with a worker that says nothing.
    pub lease: Duration,
    /// How often a job that fails for a passing reason is taken up.
    pub max_attempts: i64,
    /// The wait before the second attempt; it doubles, up to a minute.
    pub backoff: Duration,
    /// How often the table is asked when nothing tells of new work.
    pub poll: Duration,
    /// Whether it is asked at once where something is told; what nobody waits for is not.
    pub eager: bool,
    /// Bandwidth and hours.
    pub traffic: Traffic,
    /// What this host has: work that needs more is left to others.
    pub can: Vec<Capability>,
    /// What is counted of it.
    pub tally: Tally,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            max_attempts: 5,
            backoff: Duration::from_millis(500),
            poll: Duration::from_millis(500),
            eager: true,
            traffic: Traffic::default(),
            can: Capability::ALL.to_vec(),
            tally: Tally::default(),
        }
    }
}

/// A wait that lies further ahead than two of these was dated by a clock that has since
/// gone back.
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(900);
/// The longest of a job that does not say.
const USUAL_BACKOFF: Duration = Duration::from_secs(60);
/// A job whose worker dies each time, and so never fails, ends after so many times
/// the attempts of one that does.
const MOST_DEATHS: i64 = 4;

/// A job that was taken up again and again and never came to an end.
#[derive(Debug, thiserror::Error)]
#[error("job {job} was taken up {attempts} times and never came to an end")]
pub struct Exhausted {
    /// The job.
    pub job: JobId,
    /// How often.
    pub attempts: i64,
}

impl Fault for Exhausted {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Internal
    }
    fn code(&self) -> &str {
        "jobs.exhausted"
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        let hint = "the log of the hosts that held it tells whether they died of it or lost its \
                    lease, as happens where a host or the store is silent for longer than \
                    lease_seconds: raise that";
        Some(hint.into())
    }
}

/// The store said nothing when a lease was to be renewed.
#[derive(Debug, thiserror::Error)]
#[error("the store did not answer for job {job} within {seconds} s")]
pub struct Unheard {
    /// The job.
    pub job: JobId,
    /// How long it was waited for.
    pub seconds: u64,
}

impl Fault for Unheard {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Unavailable
    }
    fn code(&self) -> &str {
        "jobs.unheard"
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some("look at the network between this host and the database; it is asked again".into())
    }
}

/// How often a job in hand is heard of, at least.
const BEAT: Duration = Duration::from_millis(500);
/// Less than this no renewal is given: a store that is busy answers late.
const LATE: Duration = Duration::from_secs(10);

/// Works in the place of a worker whose job stands still: dropped, it ends its job
/// in hand and takes no other.
struct StandIn(Cancel);

impl StandIn {
    fn of(worker: Worker, stop: &Cancel) -> Self {
        let enough = Cancel::new();
        tokio::spawn(work_until(worker, enough.clone(), stop.clone()));
        Self(enough)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Boxed, since a worker that stands in may need one itself.
fn work_until(
    worker: Worker,
    enough: Cancel,
    stop: Cancel,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        while !enough.is_cancelled() && !stop.is_cancelled() {
            if !matches!(worker.step(&stop).await, Ok(true)) {
                tokio::time::sleep(worker.settings.poll).await;
            }
        }
    })
}

/// Takes jobs and does them, one at a time.
#[derive(Clone)]
pub struct Worker {
    store: Store,
    handlers: Arc<[Arc<dyn Handler>]>,
    settings: Settings,
    owner: String,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl Worker {
    /// A worker named `owner` for these handlers.
    pub fn new(
        store: Store,
        handlers: Vec<Arc<dyn Handler>>,
        settings: Settings,
        owner: String,
    ) -> Self {
        Self { store, handlers: handlers.into(), settings, owner }
    }

    /// Works until `stop` is raised; a job in hand is put back.
    pub async fn run(&self, stop: &Cancel) {
        let mut changes = self.store.changes();
        while !stop.is_cancelled() {
            match self.step(stop).await {
                Ok(true) => {}
                Ok(false) if self.settings.eager => {
                    let _ = tokio::time::timeout(self.settings.poll, changes.changed()).await;
                }
                Ok(false) => tokio::time::sleep(self.settings.poll).await,
                Err(error) => {
                    warn!(error = error.chain(), "the job table could not be read");
                    tokio::time::sleep(self.settings.poll).await;
                }
            }
        }
    }

    /// Takes one job and does it; `false` when there is none that is due.
    ///
    /// # Errors
    /// Only of the job table itself; a job's own failure is dealt with.
    pub async fn step(&self, stop: &Cancel) -> Result<bool, Error> {
        let can = |h: &Arc<dyn Handler>, kind: &str| {
            h.needs(kind).iter().all(|need| self.settings.can.contains(need))
        };
        let kinds: Vec<&'static str> = self
            .handlers
            .iter()
            .flat_map(|h| h.kinds().iter().filter(|kind| can(h, kind)))
            .copied()
            .collect();
        if kinds.is_empty() {
            return Ok(false);
        }
        let mut tx = self.store.write().await?;
        let closed: Vec<&'static str> = match self.settings.traffic.is_closed(tx.now().await?) {
            true => self.handlers.iter().flat_map(|h| h.bulk()).copied().collect(),
            false => Vec::new(),
        };
        let length = self.settings.lease;
        let asked = Instant::now();
        let lease =
            sql::claim(&mut tx, &kinds, &closed, &self.owner, length, LONGEST_BACKOFF).await?;
        tx.commit().await?;
        let Some(lease) = lease else { return Ok(false) };
        let handler = self.handlers.iter().find(|h| h.kinds().contains(&lease.kind.as_str()));
        match handler {
            None => {}
            Some(handler)
                if lease.attempts > self.retry(handler.as_ref(), &lease).attempts * MOST_DEATHS =>
            {
                let error = Exhausted { job: lease.job, attempts: lease.attempts - 1 }.into();
                Box::pin(self.surrender(handler.as_ref(), &lease, &error)).await?;
            }
            Some(handler) => Box::pin(self.work(handler.as_ref(), &lease, asked, stop)).await?,
        }
        Ok(true)
    }

    /// Does a job whose lease was `asked` for then.
    async fn work(
        &self,
        handler: &dyn Handler,
        lease: &Lease,
        asked: Instant,
        stop: &Cancel,
    ) -> Result<(), Error> {
        info!(job = %lease.job, kind = lease.kind, attempt = lease.attempts, "job taken up");
        let watch = Watch::of(handler.passes(&lease.kind), self.settings.traffic.throttle.clone());
        let bulk = handler.bulk().contains(&lease.kind.as_str());
        let mut tx = self.store.db().read().await?;
        let found = self.settings.traffic.look(&mut tx, lease).await?;
        drop(tx);
        // A store that answers late may have given the job to somebody else by now,
        let Some(found) = found else {
            warn!(job = %lease.job, "the lease was lost before the job could begin");
            return Ok(());
        };
        // or be about to: whoever is free takes it, and it was not tried.
        if asked.elapsed() >= self.settings.lease {
            warn!(job = %lease.job, "the lease ran out before the job could begin");
            return self.put_back(lease, Duration::ZERO, None, false).await;
        }
        self.settings.traffic.apply(&watch, bulk, &found);
        let result = {
            let run = handler.run(lease, &watch);
            let keep = Box::pin(self.keep(lease, asked, &watch, bulk, stop));
            tokio::pin!(run);
            tokio::select! {
                result = &mut run => result,
                // The lease is lost or we are asked to stop: the job was told to,
                // and its files must be let go of before anybody else takes them.
                () = keep => run.await,
            }
        };
        let outcome = match &result {
            Ok(()) => "done",
            Err(error) if error.kind() == ErrorKind::Cancelled => "put_back",
            Err(_) => "failed",
        };
        self.settings.tally.add(&lease.kind, outcome, watch.moved());
        match result {
            Ok(()) => info!(job = %lease.job, kind = lease.kind, "job done"),
            Err(error) => Box::pin(self.fail(handler, lease, &error, stop)).await?,
        }
        Ok(())
    }

    /// Renews the lease until it is lost or the worker is asked to stop, and holds the
    /// job in its place as long as somebody wants that: it keeps its lease, its open
    /// files and the half-written one, which the journal could not give back. Another
    /// worker stands in meanwhile, so that a held job holds up no other.
    ///
    /// A lease that was not renewed in its time is lost by our own clock, whether or not
    /// the database can be asked: the fence in the file system is seen only as soon as
    /// that file system shows it, and a network's may show what it remembers. (The time
    /// runs from before the question, so ours is over first.)
    async fn keep(&self, lease: &Lease, asked: Instant, watch: &Watch, bulk: bool, stop: &Cancel) {
        let beat = self.settings.lease / 3;
        let tick = beat.min(Duration::from_millis(250));
        let mut since = Duration::ZERO;
        let mut end = asked + self.settings.lease;
        let mut stand_in: Option<StandIn> = None;
        loop {
            tokio::time::sleep(tick).await;
            since += tick;
            if stop.is_cancelled() {
                break;
            }
            if Instant::now() >= end {
                warn!(job = %lease.job, "the lease ran out before it could be renewed");
                break;
            }
            if since < beat.min(BEAT) {
                continue;
            }
            since = Duration::ZERO;
            let asked = Instant::now();
            let renewed = tokio::time::timeout_at(end.into(), self.renew(lease, watch, bulk));
            match renewed.await {
                Ok(Ok(None)) => {
                    warn!(job = %lease.job, "the lease is lost, or nobody wants the job any more");
                    break;
                }
                Ok(Ok(Some(hold))) => {
                    end = asked + self.settings.lease;
                    match hold {
                        None => stand_in = None,
                        Some(_) => {
                            stand_in.get_or_insert_with(|| StandIn::of(self.clone(), stop));
                        }
                    }
                }
                // The database may be back before the lease has run out.
                Ok(Err(error)) => {
                    warn!(job = %lease.job, error = error.chain(), "lease not renewed")
                }
                Err(_) => {}
            }
        }
        watch.stop();
    }

    /// `None` where the lease is lost; else why the job stands still, if it does.
    async fn renew(
        &self,
        lease: &Lease,
        watch: &Watch,
        bulk: bool,
    ) -> Result<Option<Option<Hold>>, Error> {
        let (traffic, length) = (&self.settings.traffic, self.settings.lease);
        let ask = async {
            let mut tx = self.store.write().await?;
            let renewed =
                sql::renew(&mut tx, lease, length, watch.progress(), &traffic.host).await?;
            tx.commit().await?;
            Ok::<_, Error>(renewed)
        };
        // On a connection that was cut nothing ever comes, while there is time left to ask
        // on another.
        let limit = (length / 3).max(LATE);
        let unheard = |_| Unheard { job: lease.job, seconds: limit.as_secs() };
        let renewed = tokio::time::timeout(limit, ask).await.map_err(unheard)??;
        Ok(renewed.map(|renewed| traffic.apply(watch, bulk, &renewed)))
    }

    async fn fail(
        &self,
        handler: &dyn Handler,
        lease: &Lease,
        error: &Error,
        stop: &Cancel,
    ) -> Result<(), Error> {
        warn!(job = %lease.job, kind = lease.kind, code = error.code(), error = error.chain(), "job failed");
        let passing = matches!(
            error.kind(),
            ErrorKind::Io | ErrorKind::Unavailable | ErrorKind::RateLimited | ErrorKind::Internal
        ) || matches!(error.code(), "command.stale" | "db.busy");
        if error.kind() == ErrorKind::Cancelled {
            // Either the lease is gone, and then this touches no row, or the
            // worker was asked to stop, and then the job is anybody's at once.
            let delay = if stop.is_cancelled() { Duration::ZERO } else { self.settings.backoff };
            return self.put_back(lease, delay, None, false).await;
        }
        let retry = self.retry(handler, lease);
        if passing && lease.attempts < retry.attempts {
            return self.put_back(lease, delay(retry, lease), Some(&error.chain()), true).await;
        }
        self.surrender(handler, lease, error).await
    }

    /// Leaves the job to a person.
    async fn surrender(
        &self,
        handler: &dyn Handler,
        lease: &Lease,
        error: &Error,
    ) -> Result<(), Error> {
        match handler.give_up(lease, error).await {
            Ok(()) => Ok(()),
            Err(second) if second.code() == "jobs.fenced" => Ok(()),
            Err(second) => {
                warn!(job = %lease.job, error = second.chain(), "the failure could not be recorded");
                let delay = delay(self.retry(handler, lease), lease);
                self.put_back(lease, delay, Some(&second.chain()), true).await
            }
        }
    }

    async fn put_back(
        &self,
        lease: &Lease,
        delay: Duration,
        error: Option<&str>,
        counts: bool,
    ) -> Result<(), Error> {
        let mut tx = self.store.write().await?;
        let run_at = tx.now().await? + delay;
        sql::put_back(&mut tx, lease, run_at, error, counts).await?;
        tx.commit().await?;
        Ok(())
    }

    fn retry(&self, handler: &dyn Handler, lease: &Lease) -> Retry {
        handler.retry(lease).unwrap_or(Retry {
            attempts: self.settings.max_attempts,
            backoff: self.settings.backoff,
            longest: USUAL_BACKOFF,
        })
    }
}

/// Doubles with every attempt; half of it is chance, so that jobs that failed
/// together do not come back together.
fn delay(retry: Retry, lease: &Lease) -> Duration {
    let doublings = u32::try_from(lease.attempts - 1).unwrap_or(0).min(16);
    let longest = retry.longest.min(LONGEST_BACKOFF);
    let full = retry.backoff.saturating_mul(1 << doublings).min(longest);
    let chance = f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
    full.mul_f64(0.5 + chance / 2.0)
}
