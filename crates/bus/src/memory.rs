//! The transport within one process: publishing is calling.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use kit::Result;
use tokio::sync::{RwLock, watch};
use tracing::Instrument as _;

use crate::{Consumer, Message, Transport};

pub struct Memory {
    consumers: RwLock<HashMap<String, Vec<Arc<dyn Consumer>>>>,
    released: watch::Sender<bool>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { consumers: RwLock::default(), released: watch::Sender::new(true) }
    }
}

impl Memory {
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps publishers waiting until [`Self::release`]: a message of the last run, handed on while services still
    /// start, would miss those that have not subscribed yet.
    pub fn held_back() -> Self {
        Self { released: watch::Sender::new(false), ..Self::default() }
    }

    /// Everybody has subscribed.
    pub fn release(&self) {
        self.released.send_replace(true);
    }
}

#[async_trait]
impl Transport for Memory {
    async fn publish(&self, message: &Message) -> Result<()> {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.released.subscribe().wait_for(|released| *released).await;
        let consumers = self.consumers.read().await.get(&message.topic).cloned().unwrap_or_default();
        for consumer in consumers {
            let span = tracing::info_span!("event", request.id = message.request_id, consumer = consumer.name());
            consumer.consume(message).instrument(span).await?;
        }
        Ok(())
    }

    async fn subscribe(&self, topic: &str, consumer: Arc<dyn Consumer>) -> Result<()> {
        self.consumers.write().await.entry(topic.to_owned()).or_default().push(consumer);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    #[async_trait]
    impl Consumer for Counter {
        fn name(&self) -> &'static str {
            "counter"
        }

        async fn consume(&self, _: &Message) -> Result<()> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_is_held_back_reaches_those_who_subscribe_later() {
        let memory = Arc::new(Memory::held_back());
        let message =
            Message { id: uuid::Uuid::nil(), topic: "t".into(), payload: "[]".into(), request_id: "r".into() };
        let publisher = {
            let (memory, message) = (memory.clone(), message.clone());
            tokio::spawn(async move { memory.publish(&message).await })
        };
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(!publisher.is_finished());
        let counter = Arc::new(Counter::default());
        memory.subscribe("t", counter.clone()).await.expect("subscribe");
        memory.release();
        publisher.await.expect("task").expect("published");
        assert_eq!(counter.0.load(Ordering::SeqCst), 1);
    }
}
