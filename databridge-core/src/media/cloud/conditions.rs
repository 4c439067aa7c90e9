//! The conditions that the library does not put on its requests.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};

use super::store::When;
use crate::media::storage::percent_decode;

/// A request that the library sends without a condition, though S3 knows one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Request {
    /// CompleteMultipartUpload, by upload id.
    Complete(String),
    /// DeleteObject, by key.
    Delete(String),
}

/// Adds the conditions to such requests on their way out. The header is not among
/// the signed ones, which S3 does not ask of it.
#[derive(Debug, Clone)]
pub struct Conditions {
    pub bucket: String,
    pub all: Arc<Mutex<HashMap<Request, When>>>,
}

pub struct Added<'a>(&'a Conditions, Request);

impl Drop for Added<'_> {
    fn drop(&mut self) {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

impl Conditions {
    pub fn add(&self, request: Request, when: When) -> Added<'_> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(request.clone(), when);
        Added(self, request)
    }

    fn of(&self, request: &HttpRequest) -> Option<When> {
        let (method, uri) = (request.method().as_str(), request.uri());
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |candidate: &Request| match candidate {
            Request::Complete(upload) => {
                let query = percent_decode(uri.query().unwrap_or_default()).unwrap_or_default();
                method == "POST" && query == [b"uploadId=", upload.as_bytes()].concat()
            }
            Request::Delete(key) => {
                let path = percent_decode(uri.path()).unwrap_or_default();
                method == "DELETE"
                    && uri.query().is_none_or(str::is_empty)
                    && path.strip_suffix(key.as_bytes()).is_some_and(|rest| {
                        // The bucket stands in the path or in the host's name.
                        rest == b"/" || rest == format!("/{}/", self.bucket).as_bytes()
                    })
            }
        };
        all.iter().find(|(candidate, _)| is_it(candidate)).map(|(_, when)| when.clone())
    }
}

impl HttpConnector for Conditions {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Conditional { inner, conditions: self.clone() }))
    }
}

#[derive(Debug)]
struct Conditional {
    inner: HttpClient,
    conditions: Conditions,
}

impl HttpService for Conditional {
    fn call<'life, 'call>(
        &'life self,
        mut request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'call>>
    where
        'life: 'call,
        Self: 'call,
    {
        let header = match self.conditions.of(&request) {
            Some(When::Absent) => Some(("if-none-match", "*".to_owned())),
            Some(When::Is(etag)) => Some(("if-match", etag)),
            None => None,
        };
        if let Some((name, value)) = header
            && let Ok(value) = value.parse()
        {
            request.headers_mut().insert(name, value);
        }
        Box::pin(self.inner.execute(request))
    }
}
