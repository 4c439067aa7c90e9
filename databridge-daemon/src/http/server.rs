//! Connections: how many, and how long each may take over what it sends.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use databridge_core::app::config::HttpConfig;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;
use tracing::{debug, warn};

use super::tls::Tls;

/// What hyper itself reads of headers before it gives up without a word; our own bound
/// is below it and answers with a problem document.
const MOST_HEADER_BYTES: usize = 128 << 10;
const MOST_HEADERS: usize = 256;
/// Waits when no connection can be taken, for want of descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// Serves until `stop`, then lets requests in hand come to their end.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: &HttpConfig,
    tls: Option<Tls>,
    stop: impl Future<Output = ()>,
) {
    let slots = Arc::new(Semaphore::new(config.max_connections));
    let header = Duration::from_secs(config.header_seconds);
    let (quit, quitting) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let taken = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        tokio::select! {
            () = &mut stop => break,
            (slot, accepted) = taken => match accepted {
                Ok((stream, peer)) => {
                    let one = Connection {
                        peer,
                        router: router.clone(),
                        header,
                        quitting: quitting.clone(),
                    };
                    let tls = tls.clone();
                    connections.spawn(async move {
                        one.meet(stream, tls).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(BREATH).await;
                }
            },
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let _ = quit.send(true);
    while connections.join_next().await.is_some() {}
}

/// One peer's.
struct Connection {
    peer: SocketAddr,
    router: Router,
    header: Duration,
    quitting: watch::Receiver<bool>,
}

impl Connection {
    async fn meet(self, stream: TcpStream, tls: Option<Tls>) {
        let _ = stream.set_nodelay(true);
        // A peer that is gone, or reads nothing any more, is let go of.
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, 60_000);
        let Some(tls) = tls else { return self.serve(stream).await };
        let peer = self.peer;
        match tokio::time::timeout(self.header, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => debug!(%peer, %error, "a handshake failed"),
            Err(_) => debug!(%peer, "a handshake took too long"),
        }
    }

    async fn serve(mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let (peer, router) = (self.peer, self.router);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            let router = router.clone();
            async move {
                let Ok(answer) = router.oneshot(request.map(Body::new)).await;
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header)
            .max_buf_size(MOST_HEADER_BYTES)
            .max_headers(MOST_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            _ = self.quitting.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(%peer, %error, "a connection ended early");
        }
    }
}
