//! What arrives at the intake.

use contract::IdempotencyKey;
use contract::order::LineBody;
use kit::id::{AttemptId, MemberId, OrderId};
use kit::{Ctx, Fault, Money, Result};
use tokio::sync::oneshot;

use super::decide::Answer;

/// The operations that idempotency keys of this service are scoped by. The numbers are stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operation {
    Place = 1,
    Cancel = 2,
    ChangeStock = 3,
    CreateSale = 4,
}

/// Whose request, of which sort, under which key, and (as a fingerprint) what it said.
#[derive(Clone, Debug)]
pub struct Claim {
    pub member: MemberId,
    pub operation: Operation,
    pub key: IdempotencyKey,
    pub fingerprint: i64,
}

/// What one key stands for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Scope {
    pub member: MemberId,
    pub operation: Operation,
    pub key: IdempotencyKey,
}

impl Claim {
    pub fn scope(&self) -> Scope {
        Scope { member: self.member, operation: self.operation, key: self.key.clone() }
    }
}

#[derive(Clone, Debug)]
pub enum Job {
    Place(PlaceJob),
    Move(MoveJob),
}

impl Job {
    pub fn claim(&self) -> Option<&Claim> {
        match self {
            Self::Place(place) => Some(&place.claim),
            Self::Move(MoveJob { what: Move::Cancel { claim, .. }, .. }) => Some(claim),
            Self::Move(_) => None,
        }
    }
}

#[derive(Clone, Debug)]
pub struct PlaceJob {
    pub member: MemberId,
    pub claim: Claim,
    pub lines: Vec<LineBody>,
    /// What the buyer was shown.
    pub total: Money,
}

#[derive(Clone, Debug)]
pub struct MoveJob {
    pub order: OrderId,
    pub what: Move,
}

#[derive(Clone, Debug)]
pub enum Move {
    Cancel { member: MemberId, claim: Claim },
    Expire,
    BeginPayment { member: MemberId, attempt: AttemptId },
    EndPayment { attempt: AttemptId, captured: bool },
}

/// A job on its way, with whoever waits for the answer.
pub struct Ticket {
    pub job: Job,
    pub ctx: Ctx,
    pub reply: oneshot::Sender<Result<Answer>>,
}

impl Ticket {
    /// Somebody who has gone away needs no answer.
    pub fn answer(self, answer: Result<Answer, Fault>) {
        let _ = self.reply.send(answer);
    }
}
