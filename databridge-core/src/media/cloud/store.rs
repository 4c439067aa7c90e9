//! One bucket, spoken to from plain threads.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::client::ClientOptions;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, BackoffConfig, GetOptions, GetRange, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, RetryConfig, UpdateVersion,
};
use tokio::runtime::{Handle, Runtime};

use super::Settings;
use super::conditions::{Conditions, Request};
use super::error::{Error as Fault, sort};
use crate::media::copy::Error;
use crate::media::monitor::Monitor;
use crate::media::storage::ObjectLocation;

/// How often somebody who waits for an answer looks at the cancel flag.
const LOOK: Duration = Duration::from_millis(100);
/// Longest silence in the middle of an answer.
const SILENCE: Duration = Duration::from_secs(30);
/// Longest a single request may take: the largest part on a slow line.
const REQUEST: Duration = Duration::from_secs(300);

/// What may be known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub size_bytes: u64,
    /// Changes with the content; some stores list none.
    pub etag: Option<String>,
    pub modified: i64,
}

impl Fact {
    fn of(meta: &ObjectMeta) -> Self {
        Self {
            size_bytes: meta.size,
            etag: meta.e_tag.clone(),
            modified: meta.last_modified.timestamp_micros(),
        }
    }

    /// Whether nobody wrote between the two looks. A listing may say less than an
    /// object's own headers (no ETag, whole seconds).
    pub fn is(&self, other: &Self) -> bool {
        let same_tag = match (&self.etag, &other.etag) {
            (Some(one), Some(two)) => one == two,
            _ => self.modified / 1_000_000 == other.modified / 1_000_000,
        };
        self.size_bytes == other.size_bytes && same_tag
    }
}

/// An object's own headers.
#[derive(Debug, Clone)]
pub struct Head {
    pub fact: Fact,
    /// The attempt that wrote it, where it was one of ours.
    pub attempt: Option<String>,
}

/// What must be so for a write to count.
#[derive(Debug, Clone)]
pub enum When {
    /// Nothing stands there (`If-None-Match: *`).
    Absent,
    /// What stands there is still this (`If-Match`).
    Is(String),
}

impl When {
    fn mode(&self) -> PutMode {
        match self {
            Self::Absent => PutMode::Create,
            Self::Is(etag) => {
                PutMode::Update(UpdateVersion { e_tag: Some(etag.clone()), version: None })
            }
        }
    }
}

/// A bucket. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    s3: Arc<AmazonS3>,
    at: ObjectLocation,
    conditions: Conditions,
    /// How long a write is tried.
    patience: Duration,
    runtime: Handle,
}

impl Store {
    /// Makes ready to speak to the bucket; says nothing yet.
    pub fn open(at: &ObjectLocation, settings: &Settings) -> Result<Self, Error> {
        settings.check()?;
        let seconds = settings.retry_seconds.unwrap_or(60);
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(5),
                base: 2.0,
            },
            max_retries: usize::MAX,
            retry_timeout: Duration::from_secs(seconds),
        };
        let client = ClientOptions::new()
            .with_connect_timeout(Duration::from_secs(10))
            .with_read_timeout(SILENCE)
            .with_timeout(REQUEST)
            .with_allow_http(settings.allow_http);
        let conditions = Conditions { bucket: at.bucket().to_owned(), all: Arc::default() };
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(at.bucket())
            .with_client_options(client)
            .with_http_connector(conditions.clone())
            .with_retry(retry)
            // The checksum is among the signed headers: hashing the body once more for
            // the signature would prove nothing else.
            .with_checksum_algorithm(Checksum::SHA256)
            .with_unsigned_payload(true)
            .with_disable_bulk_delete(true);
        if let Some(region) = &settings.region {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        }
        if let Some(path_style) = settings.path_style {
            builder = builder.with_virtual_hosted_style_request(!path_style);
        }
        if let Some(id) = &settings.access_key_id {
            builder = builder.with_access_key_id(id);
        }
        if let Some(secret) = settings.secret()? {
            builder = builder.with_secret_access_key(secret);
        }
        // The library's text is about the settings' names, but may quote their values.
        let s3 = builder.build().map_err(|_| Fault::Settings {
            reason: "endpoint, region or credentials are incomplete".into(),
        })?;
        let patience = Duration::from_secs(seconds);
        Ok(Self { s3: Arc::new(s3), at: at.clone(), conditions, patience, runtime: runtime()? })
    }

    /// A key of this bucket as people see it.
    pub fn url(&self, key: &str) -> String {
        self.at.url(key)
    }

    fn key(&self, key: &str) -> Result<Key, Error> {
        if key.len() > 1024 {
            return Err(Fault::KeyTooLong { url: self.url(key) }.into());
        }
        Key::parse(key)
            .map_err(|error| Fault::Name { url: self.url(key), reason: error.to_string() }.into())
    }

    fn fail(&self, key: &str, error: &object_store::Error) -> Error {
        use object_store::Error as Answer;
        let url = self.url(key);
        match error {
            Answer::NotImplemented { .. } | Answer::NotSupported { .. } => {
                Fault::Unsupported { url, answer: "conditional writes".into() }.into()
            }
            // Its text ends with the server's whole answer, of which `sort` takes little.
            error => sort(url, &chain(error)).into(),
        }
    }

    /// Waits for an answer, but not longer than it is wanted.
    pub fn wait<T>(
        &self,
        monitor: &dyn Monitor,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.runtime.block_on(async {
            tokio::pin!(work);
            loop {
                if monitor.cancelled() {
                    return Err(Error::Cancelled);
                }
                if let Ok(done) = tokio::time::timeout(LOOK, &mut work).await {
                    return done;
                }
            }
        })
    }

    /// Starts work that goes on while its caller does something else.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.runtime.spawn(work)
    }

    /// A whole small object; `None` if there is none.
    pub async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Head)>, Error> {
        match self.s3.get_opts(&self.key(key)?, GetOptions::default()).await {
            Ok(found) => {
                let head = head(&found.meta, &found.attributes);
                let bytes = found.bytes().await.map_err(|error| self.fail(key, &error))?;
                Ok(Some((bytes.to_vec(), head)))
            }
            Err(error) => self.absent(key, &error).map(|()| None),
        }
    }

    /// An object's headers; `None` if there is none.
    pub async fn head(&self, key: &str) -> Result<Option<Head>, Error> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        match self.s3.get_opts(&self.key(key)?, options).await {
            Ok(found) => Ok(Some(head(&found.meta, &found.attributes))),
            // An answer without a body has no reason; the same as a question that has one.
            Err(object_store::Error::PermissionDenied { .. }) => {
                Ok(self.get(key).await?.map(|(_, head)| head))
            }
            Err(error) => self.absent(key, &error).map(|()| None),
        }
    }

    /// A missing object is an answer; a missing bucket is not.
    fn absent(&self, key: &str, error: &object_store::Error) -> Result<(), Error> {
        match error {
            object_store::Error::NotFound { .. } => match self.fail(key, error) {
                Error::Cloud(Fault::BucketMissing { url }) => {
                    Err(Fault::BucketMissing { url }.into())
                }
                _ => Ok(()),
            },
            other => Err(self.fail(key, other)),
        }
    }

    /// Part of an object as it was when its headers were looked at.
    pub async fn range(
        &self,
        key: &str,
        range: std::ops::Range<u64>,
        etag: Option<&str>,
    ) -> Result<Vec<u8>, Error> {
        let length = range.end - range.start;
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: etag.map(str::to_owned),
            ..GetOptions::default()
        };
        let changed = || Error::from(Fault::Changed { url: self.url(key) });
        let found = match self.s3.get_opts(&self.key(key)?, options).await {
            Ok(found) => found,
            Err(
                object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. },
            ) => {
                return Err(changed());
            }
            Err(error) => return Err(self.fail(key, &error)),
        };
        let bytes = found.bytes().await.map_err(|error| self.fail(key, &error))?;
        if bytes.len() as u64 == length { Ok(bytes.to_vec()) } else { Err(changed()) }
    }

    /// Everything below a prefix (given without its last slash), by key.
    pub async fn list(&self, prefix: &str) -> Result<Vec<(String, Fact)>, Error> {
        let below = if prefix.is_empty() { None } else { Some(self.key(prefix)?) };
        let found: Vec<_> = self
            .s3
            .list(below.as_ref())
            .map_ok(|meta| (meta.location.as_ref().to_owned(), Fact::of(&meta)))
            .try_collect()
            .await
            .map_err(|error| self.fail(prefix, &error))?;
        Ok(found)
    }

    /// Writes a whole object, with its SHA-256 as the store's own checksum. `None`
    /// if the condition does not hold, or may have been met by a first try of this
    /// very write whose answer was lost: the caller looks what stands there.
    pub async fn put(
        &self,
        key: &str,
        bytes: Vec<u8>,
        tags: &[(&'static str, String)],
        when: When,
    ) -> Result<Option<String>, Error> {
        use object_store::Error as Answer;
        let options =
            PutOptions { mode: when.mode(), attributes: metadata(tags), ..PutOptions::default() };
        let (path, payload) = (self.key(key)?, PutPayload::from(bytes));
        let put = || self.s3.put_opts(&path, payload.clone(), options.clone());
        match self.persist(put).await {
            Ok(done) => done.e_tag.map(Some).ok_or_else(|| {
                Fault::Unsupported { url: self.url(key), answer: "ETag".into() }.into()
            }),
            Err(Answer::AlreadyExists { .. } | Answer::Precondition { .. }) => Ok(None),
            // If-Match on what is gone.
            Err(error @ Answer::NotFound { .. }) => self.absent(key, &error).map(|()| None),
            Err(error) => Err(self.fail(key, &error)),
        }
    }

    /// Writes again what a lost connection broke off. The library leaves that alone,
    /// since it may be done already: who asks here bears with that.
    async fn persist<T, W: Future<Output = object_store::Result<T>>>(
        &self,
        write: impl Fn() -> W,
    ) -> object_store::Result<T> {
        let start = Instant::now();
        loop {
            let done = write().await;
            let lost = |error: &object_store::Error| {
                matches!(error, object_store::Error::Generic { .. })
                    && matches!(sort(String::new(), &chain(error)), Fault::Unavailable { .. })
            };
            if !done.as_ref().is_err_and(lost) || start.elapsed() >= self.patience {
                return done;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Begins an upload in parts.
    pub async fn begin(&self, key: &str, tags: &[(&'static str, String)]) -> Result<String, Error> {
        let options = PutMultipartOptions { attributes: metadata(tags), ..Default::default() };
        let begun = self.s3.create_multipart_opts(&self.key(key)?, options).await;
        begun.map_err(|error| self.fail(key, &error))
    }

    /// Sends one part, with its SHA-256.
    pub async fn part(
        &self,
        key: &str,
        upload: &str,
        index: usize,
        bytes: Vec<u8>,
    ) -> Result<PartId, Error> {
        let upload = upload.to_owned();
        let sent = self.s3.put_part(&self.key(key)?, &upload, index, PutPayload::from(bytes)).await;
        sent.map_err(|error| self.fail(key, &error))
    }

    /// Makes the parts an object; `None` as for [`Self::put`].
    pub async fn complete(
        &self,
        key: &str,
        upload: &str,
        parts: Vec<PartId>,
        when: When,
    ) -> Result<Option<String>, Error> {
        use object_store::Error as Answer;
        let id = upload.to_owned();
        let _condition = self.conditions.add(Request::Complete(id.clone()), when);
        let path = self.key(key)?;
        let complete = || self.s3.complete_multipart(&path, &id, parts.clone());
        match self.persist(complete).await {
            Ok(done) => Ok(Some(done.e_tag.unwrap_or_default())),
            Err(Answer::AlreadyExists { .. } | Answer::Precondition { .. }) => Ok(None),
            Err(error) => {
                // The library gives most failures of this one request as generic.
                let text = chain(&error);
                if text.contains("PreconditionFailed") || text.contains("NoSuchUpload") {
                    Ok(None)
                } else {
                    Err(self.fail(key, &error))
                }
            }
        }
    }

    /// Gives an upload up, so that its parts cost nothing; one that is gone is no error.
    pub async fn give_up(&self, key: &str, upload: &str) -> Result<(), Error> {
        let upload = upload.to_owned();
        match self.s3.abort_multipart(&self.key(key)?, &upload).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => match self.fail(key, &error) {
                // What some stores say of an upload that they do not know.
                Error::Cloud(Fault::Refused { .. } | Fault::Permission { .. }) => Ok(()),
                error => Err(error),
            },
        }
    }

    /// Deletes an object if it is still this one, as far as the store knows how to
    /// (Amazon's does; others pass the condition over). Missing is no error.
    pub async fn delete(&self, key: &str, etag: Option<&str>) -> Result<(), Error> {
        let key_path = self.key(key)?;
        let _condition = etag.map(|etag| {
            self.conditions.add(Request::Delete(key.to_owned()), When::Is(etag.into()))
        });
        let one = futures_util::stream::iter([Ok(key_path)]);
        let done: Result<Vec<_>, _> = self.s3.delete_stream(Box::pin(one)).try_collect().await;
        match done {
            Ok(_)
            | Err(
                object_store::Error::NotFound { .. } | object_store::Error::Precondition { .. },
            ) => Ok(()),
            Err(error) => Err(self.fail(key, &error)),
        }
    }
}

fn chain(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The metadata by which we know our own objects.
pub const ATTEMPT: &str = "databridge-attempt";
/// The digest that an object was written with, for readers.
pub const SHA256: &str = "databridge-sha256";

fn metadata(tags: &[(&'static str, String)]) -> Attributes {
    tags.iter().map(|(name, value)| (Attribute::Metadata((*name).into()), value.clone())).collect()
}

fn head(meta: &ObjectMeta, attributes: &Attributes) -> Head {
    let attempt = attributes.get(&Attribute::Metadata(ATTEMPT.into()));
    Head { fact: Fact::of(meta), attempt: attempt.map(|value| value.as_ref().to_owned()) }
}

/// The one small runtime of all object stores of this process.
fn runtime() -> Result<Handle, Error> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("databridge-cloud")
            .enable_all()
            .build()
            .ok()
    });
    runtime
        .as_ref()
        .map(|runtime| runtime.handle().clone())
        .ok_or_else(|| Fault::Settings { reason: "its threads could not be started".into() }.into())
}
