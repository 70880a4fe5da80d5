//! Events between services, each of them exactly once in effect.
//!
//! A service writes its events to the **outbox** in the transaction that caused them. A **relay** hands them to the
//! transport, as often as it takes. A consumer notes the message in its **inbox** in the transaction of the effect,
//! so that a repetition has none. No transport ever holds the only copy.

mod inbox;
mod memory;
mod outbox;
mod relay;

pub use inbox::{first_time, purge};
pub use memory::Memory;
pub use outbox::{TABLES, append, backlog};
pub use relay::{Relay, Wake};

use std::sync::Arc;

use async_trait::async_trait;
use kit::Result;
use uuid::Uuid;

/// What travels: some events of one topic that happened together.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The outbox row's id.
    pub id: Uuid,
    pub topic: String,
    /// A JSON array of events.
    pub payload: String,
    /// The request that caused them.
    pub request_id: String,
}

/// Takes messages. Must be safe to call again with the same message.
#[async_trait]
pub trait Consumer: Send + Sync + 'static {
    /// Names the consumer in its inbox.
    fn name(&self) -> &'static str;

    /// When this returns, the effect is committed.
    async fn consume(&self, message: &Message) -> Result<()>;
}

/// Carries messages from relays to consumers.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Returns once the message is safe with every consumer, or with a broker that keeps it.
    async fn publish(&self, message: &Message) -> Result<()>;

    async fn subscribe(&self, topic: &str, consumer: Arc<dyn Consumer>) -> Result<()>;
}

pub type Shared = Arc<dyn Transport>;
