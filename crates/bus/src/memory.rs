//! The transport within one process: publishing is calling.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use kit::Result;
use tokio::sync::RwLock;
use tracing::Instrument as _;

use crate::{Consumer, Message, Transport};

#[derive(Default)]
pub struct Memory {
    consumers: RwLock<HashMap<String, Vec<Arc<dyn Consumer>>>>,
}

impl Memory {
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Transport for Memory {
    async fn publish(&self, message: &Message) -> Result<()> {
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
