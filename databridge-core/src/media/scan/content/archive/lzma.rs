//! LZMA and the frames around it, step by step: the crate's own readers may go round
//! for ever in damaged data without giving a byte back (seen with `Lzma2Reader` 0.25).

use std::io::{self, BufRead, Read};

use lzma_rust2::{Action, Lzma2Stream, LzmaStream, Status, StreamResult, XzStream};

/// What takes bytes and gives some.
pub(super) trait Steps {
    fn step(&mut self, input: &[u8], output: &mut [u8], action: Action)
    -> io::Result<StreamResult>;
}

macro_rules! steps {
    ($($stream:ty),+) => {$(
        impl Steps for $stream {
            fn step(
                &mut self,
                input: &[u8],
                output: &mut [u8],
                action: Action,
            ) -> io::Result<StreamResult> {
                self.process(input, output, action)
            }
        }
    )+};
}

steps!(LzmaStream, Lzma2Stream, XzStream);

/// Reads through a decoder until it ends, fails or stands still.
pub(super) struct Stepped<S, R> {
    steps: S,
    inner: R,
    is_over: bool,
}

impl<S: Steps, R: BufRead> Stepped<S, R> {
    pub const fn new(steps: S, inner: R) -> Self {
        Self { steps, inner, is_over: false }
    }
}

impl<S: Steps, R: BufRead> Read for Stepped<S, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.is_over && !buffer.is_empty() {
            let input = self.inner.fill_buf()?;
            let is_end = input.is_empty();
            let action = if is_end { Action::Finish } else { Action::Run };
            let done = self.steps.step(input, buffer, action)?;
            self.inner.consume(done.bytes_consumed);
            self.is_over = done.status == Status::StreamEnd;
            if done.bytes_produced > 0 {
                return Ok(done.bytes_produced);
            }
            if !self.is_over && done.bytes_consumed == 0 {
                let kind = match is_end {
                    true => io::ErrorKind::UnexpectedEof,
                    false => io::ErrorKind::InvalidData,
                };
                return Err(io::Error::new(kind, "what is packed cannot be unpacked"));
            }
        }
        Ok(0)
    }
}
