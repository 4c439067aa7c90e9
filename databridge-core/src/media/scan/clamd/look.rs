//! Files that clamd looks at while we do.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Instant;

use super::session::Session;
use super::socket::{Wait, is_tick};
use super::{Client, may_pass};
use crate::media::scan::{Look, Opened, Reason, Scanner, Subject, Verdict};

/// Handed over through a local socket, with others before and after it over the same
/// connection: clamd, whose threads take what comes next, waits for nobody. It reads what we
/// read from the page cache at the same time.
pub struct Passed<'a> {
    client: &'a Client,
    /// `None` once it is of no more use.
    session: Rc<RefCell<Option<Session>>>,
    number: u64,
    has_company: bool,
    wait: Wait<'a>,
    start: Instant,
}

impl<'a> Passed<'a> {
    /// `None` where it cannot be begun; whoever asks afterwards finds out why.
    pub fn several(client: &'a Client, opened: &[Opened<'a>]) -> Vec<Option<Self>> {
        let waits = opened.iter().map(|opened| Wait::new(opened.timeout, opened.monitor));
        let mut waits = waits.peekable();
        let taken = waits.peek().and_then(|wait| client.take(wait).ok());
        let session = Rc::new(RefCell::new(taken.map(|(session, _)| session)));
        let start = Instant::now();
        let pass = |(opened, wait): (&Opened<'_>, Wait<'a>)| {
            let mut line = session.borrow_mut();
            let Ok(number) = line.as_mut()?.pass(opened.file, &wait) else {
                *line = None;
                return None;
            };
            let session = Rc::clone(&session);
            Some(Self { client, session, number, has_company: false, wait, start })
        };
        let mut passed: Vec<_> = opened.iter().zip(waits).map(pass).collect();
        let has_company = passed.iter().flatten().count() > 1;
        passed.iter_mut().flatten().for_each(|one| one.has_company = has_company);
        passed
    }

    fn reply(&self) -> io::Result<String> {
        match self.session.borrow_mut().as_mut() {
            Some(session) => session.reply(self.number, &self.wait),
            None => Err(ErrorKind::ConnectionAborted.into()),
        }
    }
}

impl Look for Passed<'_> {
    fn block(&mut self, _bytes: &[u8]) {}

    fn end(self: Box<Self>, subject: &Subject<'_>) -> Vec<Verdict> {
        let answer = self.reply();
        // Where it is only late, answers for others may have come before.
        if answer.as_ref().is_err_and(|error| !is_tick(error)) {
            *self.session.borrow_mut() = None;
        }
        if answer.as_ref().is_err_and(may_pass) {
            // It may have been started again since; whoever asks anew has patience.
            self.client.pool.clear();
            return self.client.scan(subject);
        }
        let verdict = self.client.verdict(answer, subject, self.start);
        // In company it may have waited for another file, and nobody knows how long.
        let is_late = verdict == Verdict::not_scanned(Reason::TimedOut);
        let may_ask = !subject.monitor.cancelled() && self.client.lost().is_none();
        if is_late && self.has_company && may_ask {
            return self.client.scan(subject);
        }
        vec![verdict]
    }
}

impl Drop for Passed<'_> {
    fn drop(&mut self) {
        // The last of them gives the connection back.
        if Rc::strong_count(&self.session) == 1
            && let Some(session) = self.session.borrow_mut().take()
        {
            self.client.pool.give(session);
        }
    }
}

/// Streamed: the bytes are those that we digest.
pub struct Streamed<'a> {
    client: &'a Client,
    session: Session,
    number: u64,
    wait: Wait<'a>,
    start: Instant,
    /// How sending went so far.
    sent: io::Result<()>,
}

impl<'a> Streamed<'a> {
    /// As [`Passed::several`].
    pub fn one(client: &'a Client, opened: &Opened<'a>) -> Option<Self> {
        let wait = Wait::new(opened.timeout, opened.monitor);
        let (mut session, _) = client.take(&wait).ok()?;
        let number = session.stream(&wait).ok()?;
        Some(Self { client, session, number, wait, start: Instant::now(), sent: Ok(()) })
    }
}

impl Look for Streamed<'_> {
    fn block(&mut self, bytes: &[u8]) {
        if self.sent.is_ok() {
            self.sent = self.session.socket().chunks(bytes, &self.wait);
        }
    }

    fn end(mut self: Box<Self>, subject: &Subject<'_>) -> Vec<Verdict> {
        let answer = self.session.finish_stream(self.number, self.sent, &self.wait);
        match answer {
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
