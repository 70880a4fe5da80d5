//! The relay: hands the outbox's messages to the transport, in order, until they are safe there.

use std::sync::Arc;
use std::time::Duration;

use db::{Db, Rows};
use kit::Result;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use crate::{Message, Shared, outbox};

/// Messages handed on before they are taken off the outbox together.
const MESSAGES_MAX: i64 = 64;
/// Pause between two rounds: events gather, and the writer is not asked for a commit per message.
const PAUSE: Duration = Duration::from_millis(20);
/// A look without being woken, for what another process wrote.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Back-off after a failure doubles up to this.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// Tells the relay that something was committed to the outbox.
#[derive(Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// A running relay of one service's outbox.
pub struct Relay {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Relay {
    pub fn start(db: Db, transport: Shared, wake: Wake) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self { stop, task: tokio::spawn(run(db, transport, wake, stopped)) }
    }

    /// Ends after the round that runs. What is left in the outbox is handed on at the next start.
    pub async fn stop(self) {
        // The task may be gone with its runtime.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

async fn run(db: Db, transport: Shared, wake: Wake, mut stopped: oneshot::Receiver<()>) {
    let mut back_off = PAUSE;
    loop {
        let pause = match round(&db, &transport).await {
            Ok(handed_on) => {
                back_off = PAUSE;
                (handed_on > 0).then_some(PAUSE)
            }
            Err(fault) => {
                tracing::warn!(error = %fault, "events could not be handed on; they are tried again");
                metrics::counter!("jangteo_relay_failures_total").increment(1);
                back_off = (back_off * 2).min(BACK_OFF_MAX);
                Some(back_off)
            }
        };
        let rest = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => tokio::select! {
                    () = wake.0.notified() => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                },
            }
        };
        tokio::select! {
            () = rest => {}
            _ = &mut stopped => return,
        }
    }
}

/// Hands on the oldest messages; how many.
async fn round(db: &Db, transport: &Shared) -> Result<usize> {
    let messages = outbox::oldest(db.read(), MESSAGES_MAX).await?;
    let mut sent = Vec::with_capacity(messages.len());
    let mut failed = Ok(());
    for message in &messages {
        failed = transport.publish(message).await;
        match failed {
            Ok(()) => sent.push(message),
            // Those behind it wait, so that order is kept.
            Err(_) => break,
        }
    }
    take_off(db, &sent).await?;
    failed.map(|()| messages.len())
}

async fn take_off(db: &Db, sent: &[&Message]) -> Result<()> {
    if sent.is_empty() {
        return Ok(());
    }
    let mut rows = Rows::<1>::new();
    for message in sent {
        rows.push([message.id.into()]);
    }
    let txn = db.begin().await?;
    rows.execute(&txn, "WITH sent (id) AS (VALUES {rows}) DELETE FROM outbox WHERE id IN (SELECT id FROM sent)")
        .await?;
    db.commit(txn).await
}
