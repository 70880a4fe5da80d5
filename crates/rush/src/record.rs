//! What the crowd did and what it was told: the evidence that everything else is judged from.
//!
//! Instants are offsets from the start of the run on the crowd's own clock; the server's clock is never believed.

use std::time::Duration;

use bytes::Bytes;
use contract::order::Placed;
use http::HeaderValue;
use kit::id::{MemberId, OrderId};

/// One person, signed in.
#[derive(Clone, Debug)]
pub struct Buyer {
    pub id: MemberId,
    pub token: HeaderValue,
    /// Will not pay for the first unit it gets.
    pub walker: bool,
}

/// Why the button was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Before the opening: must be refused.
    Early,
    /// The rush itself: once per buyer.
    Rush,
    /// Asking for more than the limit, by somebody who has a unit: must be refused.
    Greed,
    /// Again, by somebody who was refused, after a hold has ended.
    Again,
}

/// What the market said in the end.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Held(Box<Placed>),
    /// Refused for stock: this one is definite, and what first come first served is judged by.
    SoldOut,
    /// Refused for another reason: its code.
    Refused(String),
    /// No answer within the time a buyer waits, however often the same key was sent.
    Unanswered,
}

/// One request for units: one key, sent as often as it took to get an answer.
#[derive(Clone, Debug)]
pub struct Press {
    /// Index of the buyer.
    pub buyer: usize,
    pub purpose: Purpose,
    pub key: String,
    pub body: Bytes,
    /// When it should have been sent.
    pub intended: Duration,
    /// When it was sent for the first time.
    pub sent: Duration,
    pub answered: Duration,
    pub verdict: Verdict,
}

impl Press {
    /// The hold it was given.
    pub fn held(&self) -> Option<&Placed> {
        match &self.verdict {
            Verdict::Held(placed) => Some(placed),
            Verdict::SoldOut | Verdict::Refused(_) | Verdict::Unanswered => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Paid,
    /// The hold ended before the payment came.
    TooLate,
    Refused(String),
    Unanswered,
}

/// One payment, sent as often as it took to get an answer.
#[derive(Clone, Debug)]
pub struct Payment {
    pub order: OrderId,
    pub answered: Duration,
    pub outcome: Outcome,
}

/// How often something went wrong on the way to an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Answers that never came; each was asked for again.
    pub lost: u64,
    /// "Too busy, come back": 503 and 429.
    pub busy: u64,
    /// 500 and its like: never allowed.
    pub errors: u64,
}

/// Everything that happened.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub presses: Vec<Press>,
    pub payments: Vec<Payment>,
    pub trouble: Trouble,
    /// What could not be done at all, in words.
    pub failures: Vec<String>,
    /// From the first press of the rush to its last answer.
    pub rush: Duration,
    pub kills: u32,
}

impl Record {
    pub fn rushed(&self) -> impl Iterator<Item = &Press> {
        self.presses.iter().filter(|press| press.purpose == Purpose::Rush)
    }

    /// The presses that were given a hold, with it.
    pub fn holds(&self) -> impl Iterator<Item = (&Press, &Placed)> {
        self.presses.iter().filter_map(|press| press.held().map(|placed| (press, placed)))
    }
}
