//! A way to the database that is cut, and nobody is told.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use databridge_core::app::MIGRATIONS;
use databridge_core::control::db::{Db, Target};
use databridge_tests::process::PATIENCE;

use crate::lab::{Kind, Lab};

/// Connections of one host.
const POOL: usize = 10;

/// A way to `server`. What went by it before it is cut hears nothing from then on; answers
/// its port.
fn way(server: String, cut: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(&server) else { continue };
            let before = !cut.load(Ordering::SeqCst);
            let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
            for (from, to) in [(client, server), back] {
                let cut = cut.clone();
                std::thread::spawn(move || {
                    pump(from, to, &|| before && cut.load(Ordering::SeqCst))
                });
            }
        }
    });
    port
}

fn pump(mut from: TcpStream, mut to: TcpStream, is_cut: &dyn Fn() -> bool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count) = from.read(&mut buffer) {
        while is_cut() {
            std::thread::park();
        }
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_were_cut_off_make_room_for_others() {
    let lab = Lab::open(Kind::Postgres).await;
    let url = lab.app.config().database.clone().unwrap();
    let (user, rest) = url.split_once('@').unwrap();
    let (server, name) = rest.split_once('/').unwrap();
    let cut = Arc::new(AtomicBool::new(false));
    let port = way(server.to_owned(), cut.clone());
    let target = Target::Postgres(format!("{user}@127.0.0.1:{port}/{name}"));
    let db = Db::open(&target, MIGRATIONS).await.unwrap();
    let mut all = Vec::new();
    for _ in 0..POOL {
        all.push(db.read().await.unwrap());
    }
    cut.store(true, Ordering::SeqCst);
    // Each is given up, and was told nothing.
    drop(all);
    let end = Instant::now() + PATIENCE;
    while let Err(error) = db.read().await {
        assert!(Instant::now() < end, "none of them is free: {error:?}");
    }
}
