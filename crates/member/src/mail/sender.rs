//! The background task that hands queued mails to the mail server.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use db::Db;
use kit::{Clock, Fault, Millis, Personal, Result};
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::mail::{Letter, Outcome, Post, State, unseal};
use crate::settings::{HOUR_MS, Mailer};
use crate::store;
use crate::vault::Vault;

/// Mails taken up in one round.
const MAILS_MAX: u64 = 16;
/// A look without being woken: for what another process wrote, and for what was put off.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// One attempt, from connecting to the server's last word.
const ATTEMPT_MAX: Duration = Duration::from_secs(20);
/// How long an attempt keeps others away; longer than it can take.
const LEASE_MS: i64 = 60_000;
/// The first pause after a failure; it doubles up to the second one.
const BACK_OFF_MS: i64 = 5_000;
const BACK_OFF_MS_MAX: i64 = HOUR_MS;
/// After this a mail is given up: the link in it has expired.
const GIVE_UP_MS: i64 = 24 * HOUR_MS;
/// Replies that are about this recipient or text (RFC 5321 §4.2.3). Others, a wrong password of ours among them, may
/// be mended.
const RECIPIENT_REFUSED: [u16; 5] = [550, 551, 552, 553, 554];

pub(crate) struct Sender {
    db: Db,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    wake: Arc<Notify>,
    smtp: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Sender {
    /// A sender, where mail leaves by a server. Errors: `internal` when the settings are wrong.
    pub(crate) fn new(post: &Post, mailer: &Mailer) -> Result<Option<Self>> {
        let (url, from) = match mailer {
            Mailer::Mailbox => return Ok(None),
            Mailer::Smtp { url, from } => (url, from),
        };
        // Without its text: the URL holds a password.
        let smtp = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose())
            .map_err(|_| Fault::internal("the SMTP URL is not one such as smtps://user:password@host:465"))?
            .timeout(Some(ATTEMPT_MAX))
            .build();
        let from = from.parse().map_err(|e| Fault::internal(format!("the mail sender {from:?}: {e}")))?;
        let (db, vault, clock) = (post.db.clone(), post.vault.clone(), post.clock.clone());
        Ok(Some(Self { db, vault, clock, wake: post.wake.clone(), smtp, from }))
    }

    /// Sends until told to stop; a mail that is being sent is finished first.
    pub(crate) async fn run(self, mut stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            let sent = self.round(&stopped).await.unwrap_or_else(|fault| {
                tracing::warn!(error = %fault, "mails could not be taken from the queue; they are tried again");
                0
            });
            if sent == MAILS_MAX {
                continue;
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                // An error means that the service is gone, which is a stop as well.
                changed = stopped.changed() => if changed.is_err() {
                    break;
                },
            }
        }
        self.smtp.shutdown().await;
    }

    /// Takes up the mails that are due; how many there were.
    async fn round(&self, stopped: &watch::Receiver<bool>) -> Result<u64> {
        let due = store::mail::due(self.db.read(), self.clock.now(), MAILS_MAX).await?;
        for mail in &due {
            if *stopped.borrow() {
                break;
            }
            self.take_up(mail).await?;
        }
        Ok(due.len() as u64)
    }

    async fn take_up(&self, mail: &store::mail::Model) -> Result<()> {
        let txn = self.db.begin().await?;
        let until = self.clock.now().plus_ms(LEASE_MS);
        if !store::mail::lease(&txn, mail.id, Millis(mail.due_at_ms), until).await? {
            return Ok(());
        }
        let unsealed = unseal(&txn, &self.vault, mail).await?;
        self.db.commit(txn).await?;
        let outcome = match unsealed {
            Some((to, text)) => self.send(mail.id, &to, &Letter { subject: mail.subject.clone(), text }).await?,
            // The member was shredded in the meantime.
            None => Outcome::Hopeless,
        };
        let now = self.clock.now();
        let too_old = now.since(Millis(mail.created_at_ms)) > GIVE_UP_MS;
        let outcome = if outcome == Outcome::Failed && too_old { Outcome::Hopeless } else { outcome };
        let txn = self.db.begin().await?;
        match State::Queued.next(outcome)? {
            State::Queued => store::mail::put_off(&txn, mail.id, now.plus_ms(back_off_ms(mail.attempts))).await?,
            left @ (State::Sent | State::GivenUp) => store::mail::close(&txn, mail.id, left, now).await?,
        }
        self.db.commit(txn).await
    }

    /// One attempt. What the server says is not logged: it likes to repeat the address.
    async fn send(&self, mail: Uuid, to: &Personal, letter: &Letter) -> Result<Outcome> {
        let Ok(to) = to.expose().parse::<Address>() else {
            tracing::warn!(mail.id = %mail, "a mail has a recipient that mail servers do not understand");
            return Ok(Outcome::Hopeless);
        };
        match tokio::time::timeout(ATTEMPT_MAX, self.smtp.send(self.message(mail, to, letter)?)).await {
            Ok(Ok(_)) => Ok(Outcome::Accepted),
            Ok(Err(e)) => {
                let status = e.status().map(u16::from);
                tracing::warn!(mail.id = %mail, mail.status = status, "the mail server did not take a mail");
                let refused = status.is_some_and(|status| RECIPIENT_REFUSED.contains(&status));
                Ok(if refused { Outcome::Hopeless } else { Outcome::Failed })
            }
            Err(_) => {
                tracing::warn!(mail.id = %mail, "the mail server did not answer in time");
                Ok(Outcome::Failed)
            }
        }
    }

    /// The mail as it travels. Its id is made from the row's, so that a repetition can be recognised.
    fn message(&self, mail: Uuid, to: Address, letter: &Letter) -> Result<Message> {
        let now_ms = u64::try_from(self.clock.now().0).unwrap_or(0);
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(letter.subject.clone())
            .date(SystemTime::UNIX_EPOCH + Duration::from_millis(now_ms))
            .message_id(Some(format!("<{}@{}>", mail.simple(), self.from.email.domain())))
            .header(ContentType::TEXT_PLAIN)
            .body(letter.text.expose().to_owned())
            .map_err(|e| Fault::internal(format!("mail {mail}: {e}")))
    }
}

/// The pause after that many earlier attempts.
fn back_off_ms(attempts: i64) -> i64 {
    let doublings = u32::try_from(attempts.clamp(0, 20)).unwrap_or(20);
    (BACK_OFF_MS << doublings).min(BACK_OFF_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        let pauses: Vec<i64> = [0, 1, 2, 9, 10, i64::MAX].into_iter().map(back_off_ms).collect();
        assert_eq!(pauses, [5_000, 10_000, 20_000, 2_560_000, 3_600_000, 3_600_000]);
    }
}
