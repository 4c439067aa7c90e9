//! Uploads in pieces, over real HTTP: the protocol, its refusals, kills, quotas, and
//! other people's clients.

mod crowd;
mod killed;
mod pieces;
mod quotas;
mod sources;
mod strangers;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Instant;

use databridge_tests::process::PATIENCE;
use serde_json::{Value, json};

use crate::desk::{Answer, Desk};

/// An artist's transfer, and what is sent to it.
pub struct Tus<'a> {
    pub desk: &'a Desk,
    pub code: String,
    pub who: &'a str,
}

/// A header as it is sent.
type Header<'a> = (&'a str, String);

pub fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Bytes that are nowhere the same.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

impl<'a> Tus<'a> {
    /// To a new transfer with nothing in it.
    pub fn new(desk: &'a Desk) -> Self {
        let body = json!({ "title": "shot 010", "project": "film", "category": "plates" });
        let made = desk.ok("artist", "POST", "/transfers", body);
        Self { desk, code: made["code"].as_str().unwrap().to_owned(), who: "artist" }
    }

    pub fn uploads(&self) -> String {
        format!("/api/v1/transfers/{}/uploads", self.code)
    }

    /// What every request says.
    pub fn spoken(&self) -> Vec<Header<'static>> {
        vec![
            ("authorization", format!("Bearer {}", self.desk.people.token(self.who))),
            ("tus-resumable", "1.0.0".to_owned()),
        ]
    }

    /// What every piece says.
    pub fn of_a_piece(&self, offset: u64) -> Vec<Header<'static>> {
        let mut all = self.spoken();
        all.push(("upload-offset", offset.to_string()));
        all.push(("content-type", "application/offset+octet-stream".to_owned()));
        all
    }

    /// A request whose body is not sent yet; it is let in when this answers: only who
    /// reads the body asks for it, and holds what it goes to.
    pub fn opened(
        &self,
        method: &str,
        path: &str,
        headers: &[Header<'_>],
        length: usize,
    ) -> TcpStream {
        let mut stream = self.desk.connect();
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: x\r\n{lines}content-length: {length}\r\n\
             expect: 100-continue\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "HTTP/1.1 100 Continue");
        assert_eq!(lines.next().unwrap().unwrap(), "");
        stream
    }

    /// What a new upload says beside.
    pub fn of_a_new_one(path: &str, length: u64) -> Vec<Header<'static>> {
        let metadata = format!("path {}", base64(path.as_bytes()));
        vec![("upload-length", length.to_string()), ("upload-metadata", metadata)]
    }

    /// One request, of somebody who speaks the protocol.
    pub fn ask(&self, method: &str, path: &str, headers: &[Header], body: &[u8]) -> Answer {
        let mut all = self.spoken();
        all.extend(headers.iter().cloned());
        self.desk.raw(method, path, &all, body)
    }

    pub fn try_begin(&self, path: &str, length: u64, headers: &[Header]) -> Answer {
        let mut all = Self::of_a_new_one(path, length);
        all.extend(headers.iter().cloned());
        self.ask("POST", &self.uploads(), &all, b"")
    }

    /// Where a new upload goes on.
    #[track_caller]
    pub fn begin(&self, path: &str, length: usize) -> String {
        let answer = self.try_begin(path, length as u64, &[]);
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.header("location").unwrap().to_owned()
    }

    pub fn piece(&self, at: &str, offset: u64, bytes: &[u8], headers: &[Header]) -> Answer {
        let mut all = self.of_a_piece(offset);
        all.extend(headers.iter().cloned());
        self.desk.raw("PATCH", at, &all, bytes)
    }

    /// Sends a piece that is kept; answers the offset after it.
    #[track_caller]
    pub fn send(&self, at: &str, offset: u64, bytes: &[u8]) -> u64 {
        let answer = self.piece(at, offset, bytes, &[]);
        assert_eq!(answer.status, 204, "{answer:?}");
        let offset = answer.header("upload-offset").unwrap().parse().unwrap();
        assert_eq!(answer.header("tus-resumable"), Some("1.0.0"));
        assert!(answer.header("upload-expires").unwrap().ends_with(" GMT"));
        offset
    }

    pub fn head(&self, at: &str) -> Answer {
        self.ask("HEAD", at, &[], b"")
    }

    /// How much is durable.
    #[track_caller]
    pub fn offset(&self, at: &str) -> u64 {
        let answer = self.head(at);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        answer.header("upload-offset").unwrap().parse().unwrap()
    }

    /// Asks until the answer pleases.
    #[track_caller]
    pub fn until(&self, at: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.head(at);
            if wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < end, "{answer:?}");
        }
    }

    pub fn files(&self) -> Vec<Value> {
        let path = format!("/transfers/{}/files", self.code);
        let files = self.desk.ok("admin", "GET", &path, Value::Null);
        files.as_array().unwrap().clone()
    }

    /// That the upload's file is part of the transfer, and is just these bytes.
    #[track_caller]
    pub fn has(&self, at: &str, path: &str, bytes: &[u8]) {
        use sha2::Digest;
        let file = self.files().into_iter().find(|file| file["path"] == path);
        let file = file.unwrap_or_else(|| panic!("there is no {path}"));
        assert_eq!(file["size_bytes"], bytes.len());
        assert_eq!(file["sha256"], hex::encode(sha2::Sha256::digest(bytes)));
        let id = at.rsplit('/').next().unwrap().replace('-', "");
        let folder = self.desk.place.staging.join(&self.code).join("incoming-r1");
        let stored = std::fs::read(folder.join(&id)).unwrap();
        assert!(stored == bytes, "{path} is not what was sent");
        assert!(!self.desk.place.staging.join(".uploads").join(&id).exists());
    }

    /// The bytes of an unfinished upload.
    pub fn blob(&self, at: &str) -> std::path::PathBuf {
        let id = at.rsplit('/').next().unwrap().replace('-', "");
        self.desk.place.staging.join(".uploads").join(id)
    }
}
