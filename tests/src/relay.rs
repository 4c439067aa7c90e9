//! A way between a client and a daemon that can be cut in the middle of a request, while
//! the daemon behind it is killed and another takes its place at the same address.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::process::PATIENCE;

/// Passes bytes on, both ways, and stops at chosen ones.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    stops: Receiver<Stop>,
}

#[derive(Debug)]
struct Shared {
    /// `host:port`
    target: Mutex<String>,
    /// Of both sides.
    live: Mutex<Vec<TcpStream>>,
    way: Mutex<Way>,
}

#[derive(Debug)]
struct Way {
    /// Bytes that clients sent, with all that they sent twice.
    sent: u64,
    /// Where to stop next.
    stops: VecDeque<u64>,
    told: Sender<Stop>,
}

/// A request stands still half way.
#[derive(Debug)]
pub struct Stop(Sender<()>);

impl Stop {
    /// Ends every connection, and lets new ones in.
    pub fn cut(self) {
        let _ = self.0.send(());
    }
}

impl Relay {
    /// To a daemon at `target` (`host:port`); stops when clients have sent so many bytes.
    pub fn new(target: &str, stops: impl IntoIterator<Item = u64>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (told, heard) = channel();
        let shared = Arc::new(Shared {
            target: Mutex::new(target.to_owned()),
            live: Mutex::default(),
            way: Mutex::new(Way { sent: 0, stops: stops.into_iter().collect(), told }),
        });
        let ours = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = ours.clone();
                thread::spawn(move || shared.pass_on(client));
            }
        });
        Self { address, shared, stops: heard }
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next daemon (`host:port`).
    pub fn lead_to(&self, target: &str) {
        target.clone_into(&mut self.shared.target.lock().unwrap());
    }

    /// Waits until a request stands still.
    pub fn stop(&self) -> Stop {
        self.stops.recv_timeout(PATIENCE).expect("the client sends nothing more")
    }
}

impl Shared {
    fn pass_on(self: Arc<Self>, client: TcpStream) {
        let target = self.target.lock().unwrap().clone();
        // Nobody there: the client finds its connection closed.
        let Ok(server) = TcpStream::connect(target) else { return };
        let both = [client.try_clone().unwrap(), server.try_clone().unwrap()];
        self.live.lock().unwrap().extend(both);
        let (back, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        thread::spawn(move || pump(back, to, |_| ()));
        pump(client, server, |count| self.count(count));
    }

    /// Stands still where it was asked to, until somebody cuts the way.
    fn count(&self, count: usize) {
        let mut way = self.way.lock().unwrap();
        way.sent += count as u64;
        if way.stops.front().is_none_or(|stop| way.sent < *stop) {
            return;
        }
        way.stops.pop_front();
        let (cut, is_cut) = channel();
        // A test that is over waits for nothing.
        if way.told.send(Stop(cut)).is_ok() {
            let _ = is_cut.recv();
        }
        for stream in self.live.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, mut count: impl FnMut(usize)) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read) = from.read(&mut buffer) {
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            break;
        }
        count(read);
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
