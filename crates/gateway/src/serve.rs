//! The public listener: accepts connections up to a limit, stops without losing a request.

use std::future::Future;
use std::io::Write as _;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ahash::HashMap;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{Id, JoinSet};

use crate::connection::Server;
use crate::edge::Edge;

/// Pause after the system refused to accept (no more file descriptors, most often).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Said to a connection too many; there is no request yet whose language or id it could have.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
content-type: application/problem+json\r\nretry-after: 1\r\ncontent-length: 116\r\nconnection: close\r\n\r\n\
{\"type\":\"/docs#problem-overloaded\",\"title\":\"The market is busy; please try again.\",\"status\":503,\"code\":\"overloaded\"}";

/// Serves until `shutdown`, then finishes what runs, for at most the drain timeout.
pub(crate) async fn serve(edge: Arc<Edge>, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let server = Arc::new(Server::new(edge.clone()));
    let mut tasks: JoinSet<()> = JoinSet::new();
    let mut stops: HashMap<Id, oneshot::Sender<()>> = HashMap::default();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if tasks.len() >= edge.app.settings.connections_max => refuse(stream),
                Ok((stream, peer)) => {
                    let (stop, stopped) = oneshot::channel();
                    let task = tasks.spawn(connection(server.clone(), stream, peer.ip(), stopped));
                    stops.insert(task.id(), stop);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = tasks.join_next_with_id() => {
                let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                stops.remove(&id);
            }
            () = &mut shutdown => break,
        }
    }
    drop(listener);
    edge.app.ready.store(false, Ordering::Relaxed);
    edge.app.live.close();
    stops.clear();
    let drained = async { while tasks.join_next().await.is_some() {} };
    let limit = Duration::from_millis(edge.app.settings.drain_timeout_ms);
    if tokio::time::timeout(limit, drained).await.is_err() {
        tracing::warn!(left = tasks.len(), "connections were still busy when the time to drain was over");
        tasks.shutdown().await;
    }
}

/// Serves one connection and counts it while it is open.
async fn connection(server: Arc<Server>, stream: TcpStream, peer: IpAddr, stopped: oneshot::Receiver<()>) {
    let _open = Open::new(server.edge().app.meters.connections.clone());
    server.run(stream, peer, stopped).await;
}

/// Tells a connection too many, without waiting for anything, and closes it.
fn refuse(stream: TcpStream) {
    // Nothing to do when even that fails. The socket is non-blocking, and its buffer is empty.
    let _ = stream.into_std().and_then(|mut stream| stream.write(FULL));
}

/// Counts an open connection while it lives.
struct Open(metrics::Gauge);

impl Open {
    fn new(gauge: metrics::Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connection_too_many_is_told_is_whole() {
        let text = std::str::from_utf8(FULL).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("head and body");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
        let problem: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(problem["code"], "overloaded");
    }
}
