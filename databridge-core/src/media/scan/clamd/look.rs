//! A file that clamd looks at while we do.

use std::io;
use std::time::Instant;

use super::session::Session;
use super::socket::Wait;
use super::{ClamdAddress, Client, may_pass};
use crate::media::scan::{Look, Opened, Scanner, Subject, Verdict};

/// Handed over (a local socket: clamd reads what we read from the page cache at
/// the same time), or being streamed (the bytes are those that we digest).
pub struct Begun<'a> {
    client: &'a Client,
    session: Session,
    wait: Wait<'a>,
    start: Instant,
    /// Of a stream: how sending went so far.
    streamed: Option<io::Result<()>>,
}

impl<'a> Begun<'a> {
    /// `None` where it cannot be begun; whoever asks afterwards finds out why.
    pub fn new(client: &'a Client, opened: &Opened<'a>) -> Option<Self> {
        let wait = Wait::new(opened.timeout, opened.monitor);
        let (mut session, _) = client.take(&wait).ok()?;
        let streamed = match client.clamd.address {
            ClamdAddress::Unix(_) => session.pass(opened.file, &wait).map(|()| None),
            ClamdAddress::Tcp(_) => session.stream(&wait).map(|()| Some(Ok(()))),
        };
        Some(Self { client, session, wait, start: Instant::now(), streamed: streamed.ok()? })
    }
}

impl Look for Begun<'_> {
    fn block(&mut self, bytes: &[u8]) {
        if let Some(sent @ Ok(())) = &mut self.streamed {
            *sent = self.session.socket().chunks(bytes, &self.wait);
        }
    }

    fn end(mut self: Box<Self>, subject: &Subject<'_>) -> Vec<Verdict> {
        let answer = match self.streamed.take() {
            None => self.session.reply(&self.wait),
            Some(sent) => self.session.finish_stream(sent, &self.wait),
        };
        match answer {
            // It may have been started again since; whoever asks anew has patience.
            Err(error) if may_pass(&error) => {
                self.client.pool.clear();
                self.client.scan(subject)
            }
            answer => {
                let verdict = self.client.verdict(answer, subject, self.start);
                if !matches!(verdict, Verdict::Error { .. } | Verdict::NotScanned { .. }) {
                    self.client.pool.give(self.session);
                }
                vec![verdict]
            }
        }
    }
}
