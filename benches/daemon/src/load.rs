//! Many clients at once, each on a connection that it keeps, and how long they waited.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// What a load came to.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub per_second: f64,
    pub median: Duration,
    /// Nine of a thousand waited longer, and one more.
    pub p99: Duration,
}

/// A client with somebody's token.
pub struct Client {
    agent: ureq::Agent,
    base: String,
}

impl Client {
    pub fn new(url: &str) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        Self { agent, base: url.to_owned() }
    }

    /// The whole answer, which must be a success.
    pub fn get(&self, token: &str, path: &str) -> String {
        let request = self.agent.get(format!("{}{path}", self.base));
        let answer = request.header("authorization", format!("Bearer {token}")).call();
        success(path, answer)
    }

    pub fn post(&self, token: &str, path: &str, body: &Value) -> Value {
        let request = self.agent.post(format!("{}{path}", self.base));
        let answer = request
            .header("authorization", format!("Bearer {token}"))
            .header("idempotency-key", uuid::Uuid::new_v4().to_string())
            .send_json(body);
        serde_json::from_str(&success(path, answer)).unwrap()
    }

    /// A draft with one small file.
    pub fn draft(&self, token: &str) -> String {
        let body = json!({ "title": "shot", "project": "film", "category": "plates" });
        let made = self.post(token, "/api/v1/transfers", &body);
        let code = made["code"].as_str().unwrap().to_owned();
        let path = format!("{}/api/v1/transfers/{code}/files/a.txt", self.base);
        let put = self.agent.put(path).header("authorization", format!("Bearer {token}"));
        success("files", put.send("the content of a note".as_bytes()));
        code
    }
}

fn success(path: &str, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> String {
    let mut answer = answer.unwrap_or_else(|error| panic!("{path}: {error}"));
    let text = answer.body_mut().read_to_string().unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(answer.status().is_success(), "{path}: {text}");
    text
}

/// Does `work` on each of `0..count` by `clients` at once.
pub fn load(url: &str, clients: usize, count: usize, work: impl Fn(&Client, usize) + Sync) -> Load {
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    let run = || {
        let client = Client::new(url);
        let mut waited = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return waited;
            }
            let asked = Instant::now();
            work(&client, index);
            waited.push(asked.elapsed());
        }
    };
    let mut waited: Vec<Duration> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(run)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    #[allow(clippy::cast_precision_loss)]
    let per_second = count as f64 / began.elapsed().as_secs_f64();
    waited.sort();
    Load { per_second, median: waited[count / 2], p99: waited[count * 99 / 100] }
}
