//! Mail: written in the transaction of its cause, sent in the background.
//!
//! A mail is a row; it is in the queue until a mail server has taken it or it was given up, and a crash loses none.
//! Every attempt first takes the row for itself, so two processes never send one mail at a time. **What remains:**
//! when the process dies (or the connection breaks) between the server's acceptance and our commit of it, the mail
//! is sent once more, under the same `Message-ID`, by which the receiving side may drop the second.
//!
//! With the mailbox in place of a server, a mail counts as sent when it is written.

mod letter;
mod sender;

pub(crate) use letter::Letter;
pub(crate) use sender::Sender;

use std::sync::Arc;

use contract::member::Mail;
use db::Db;
use kit::id::MemberId;
use kit::{Clock, Fault, Ids, Millis, Personal, Result};
use sea_orm::ConnectionTrait;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::settings::{HOUR_MS, Mailer, Settings};
use crate::store;
use crate::vault::{DataKey, Place, Vault};

/// Mails that the mailbox shows.
const MAILBOX_MAX: u64 = 200;
/// Mails are kept this long, for the mailbox and for counting what an address was sent.
pub(crate) const KEPT_MS: i64 = 24 * HOUR_MS;

/// Where a mail is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Queued,
    Sent,
    GivenUp,
}

/// What became of an attempt to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// The server has it.
    Accepted,
    /// It may work later.
    Failed,
    /// It will not work later either, or it is too late.
    Hopeless,
}

impl State {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::GivenUp => "given_up",
        }
    }

    /// Errors: `internal` when the mail had left the queue already.
    pub(crate) fn next(self, outcome: Outcome) -> Result<Self> {
        match (self, outcome) {
            (Self::Queued, Outcome::Accepted) => Ok(Self::Sent),
            (Self::Queued, Outcome::Failed) => Ok(Self::Queued),
            (Self::Queued, Outcome::Hopeless) => Ok(Self::GivenUp),
            (Self::Sent | Self::GivenUp, _) => Err(Fault::internal("a mail was sent that is not in the queue")),
        }
    }
}

/// Whom a mail is for.
pub(crate) struct Recipient<'a> {
    pub member: MemberId,
    pub key: &'a DataKey,
    pub email: &'a Personal,
    pub email_index: &'a [u8],
}

/// The desk where mails are written.
pub(crate) struct Post {
    db: Db,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    /// Mails are written as sent, and shown.
    mailbox: bool,
    per_hour: i64,
    wake: Arc<Notify>,
}

impl Post {
    pub(crate) fn new(
        db: Db,
        vault: Arc<Vault>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        settings: &Settings,
    ) -> Self {
        let mailbox = matches!(settings.mail, Mailer::Mailbox);
        let per_hour = settings.verification_mails_per_hour;
        Self { db, vault, clock, ids, mailbox, per_hour, wake: Arc::default() }
    }

    /// Whether the address was sent fewer mails this hour than it may be. Others that ask about the same member wait
    /// until the transaction ends.
    pub(crate) async fn may_write(&self, txn: &impl ConnectionTrait, to: &Recipient<'_>) -> Result<bool> {
        store::member::lock(txn, to.member).await?;
        let since = self.clock.now().plus_ms(-HOUR_MS);
        Ok(store::mail::count(txn, to.email_index, since).await? < self.per_hour)
    }

    /// Puts a letter into the queue, in the caller's transaction. [`Self::wake`] after the commit.
    pub(crate) async fn write(&self, txn: &impl ConnectionTrait, to: &Recipient<'_>, letter: &Letter) -> Result<()> {
        let (id, now) = (self.ids.next(), self.clock.now());
        let (state, sent_at) = match self.mailbox {
            true => (State::Sent, Some(now)),
            false => (State::Queued, None),
        };
        let mail = store::mail::Model {
            id,
            member_id: to.member.0,
            data_key_id: to.key.id,
            recipient_index: to.email_index.to_vec(),
            subject: letter.subject.clone(),
            recipient: Some(to.key.seal_personal(recipient_at(id), to.email)?),
            body: Some(to.key.seal_personal(body_at(id), &letter.text)?),
            state: state.as_str().into(),
            attempts: 0,
            due_at_ms: now.0,
            created_at_ms: now.0,
            sent_at_ms: sent_at.map(|at| at.0),
        };
        store::mail::insert(txn, mail).await
    }

    /// Tells the sender that something was committed to the queue.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// The mails of the last day, newest first, where they are not really sent.
    pub(crate) async fn recent(&self) -> Result<Vec<Mail>> {
        if !self.mailbox {
            return Ok(Vec::new());
        }
        let since = self.clock.now().plus_ms(-KEPT_MS);
        let mut shown = Vec::new();
        for mail in store::mail::recent(self.db.read(), since, MAILBOX_MAX).await? {
            // Wiped, or of a member that was shredded: there is nothing to show.
            if let Some((to, text)) = unseal(self.db.read(), &self.vault, &mail).await? {
                shown.push(Mail { to, subject: mail.subject, text, sent_at: Millis(mail.created_at_ms) });
            }
        }
        Ok(shown)
    }
}

/// Recipient and text of a mail; absent when they are gone.
async fn unseal(
    connection: &impl ConnectionTrait,
    vault: &Vault,
    mail: &store::mail::Model,
) -> Result<Option<(Personal, Personal)>> {
    let Some((recipient, body)) = mail.recipient.as_ref().zip(mail.body.as_ref()) else {
        return Ok(None);
    };
    let member = MemberId(mail.member_id);
    let Some(wrapped) = store::data_key::find(connection, member, mail.data_key_id).await? else {
        return Ok(None);
    };
    let key = vault.unwrap(mail.data_key_id, &wrapped)?;
    let to = key.open_personal(recipient_at(mail.id), recipient)?;
    Ok(Some((to, key.open_personal(body_at(mail.id), body)?)))
}

fn recipient_at(mail: Uuid) -> Place {
    Place { table: "mail", column: "recipient", row: mail }
}

fn body_at(mail: Uuid) -> Place {
    Place { table: "mail", column: "body", row: mail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_leaves_the_queue_once() {
        let cases = [
            (State::Queued, Outcome::Accepted, Some(State::Sent)),
            (State::Queued, Outcome::Failed, Some(State::Queued)),
            (State::Queued, Outcome::Hopeless, Some(State::GivenUp)),
            (State::Sent, Outcome::Accepted, None),
            (State::Sent, Outcome::Failed, None),
            (State::GivenUp, Outcome::Accepted, None),
            (State::GivenUp, Outcome::Hopeless, None),
        ];
        for (state, outcome, next) in cases {
            assert_eq!(state.next(outcome).ok(), next, "{state:?} {outcome:?}");
        }
    }
}
