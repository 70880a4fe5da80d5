//! Sessions: sign-in, rotation of refresh tokens, sign-out.
//!
//! A session is a family of refresh tokens with one living end. Using a token makes its successor, which is derived
//! from it with a key of ours and so is the same however often it is asked for. That decides what a used token means:
//!
//! - **within the grace** somebody repeats a refresh whose answer was lost, or two tabs refresh at once: they are
//!   handed the family's living end (and a fresh access token). Nobody is left with a token that is dead already,
//!   and the family does not branch, so a thief who is this fast still shares one line with the owner and is found
//!   out at the next step but one;
//! - **after it** two parties hold the line: the session ends, for both.
//!
//! Ended sessions are put into the shared memory, where the edge finds them at the next request.

use contract::member::{Login, Refresh, SessionRef, Tokens, fold_email, revoked_key};
use db::Txn;
use kit::id::{MemberId, SessionId};
use kit::jwt::Claims;
use kit::{Code, Fault, Millis, Personal, Result, Role, Secret};

use crate::password::Verdict;
use crate::service::Service;
use crate::store;
use crate::store::session::Session;
use crate::store::token::Known;
use crate::throttle::Attempt;
use crate::token::Token;
use crate::vault::{Indexed, Place};

/// Characters kept of what a device says about itself.
const DEVICE_CHARS_MAX: usize = 200;
/// Rotations within one grace that a repetition is followed through.
const STEPS_MAX: usize = 16;
/// An ended session is remembered this much longer than its tokens live: clocks differ.
const REVOKED_MARGIN_MS: i64 = 60_000;
/// Ended sessions read at once when the shared memory is filled.
const ENDED_ROWS: i64 = 1_000;

/// Whose token, and what it says of them.
pub(crate) struct Holder {
    pub member: MemberId,
    pub role: Role,
    pub verified: bool,
    pub session: SessionId,
}

impl Service {
    pub(crate) async fn sign_in(&self, request: Login) -> Result<Tokens> {
        let email_index = self.vault.index(Indexed::Email, &fold_email(&request.body.email));
        let attempt = Attempt::new(&self.vault, &email_index, &request.address);
        attempt.admit(&self.kv).await?;
        let found = store::member::find_by_email(self.db.read(), &email_index).await?;
        let found = found.filter(|member| member.disabled_at_ms.is_none());
        let stored = found.as_ref().and_then(|member| member.password_hash.clone());
        // Also for nobody: an unknown address takes as long as a wrong password.
        let verdict = self.hasher.verify(&request.body.password, stored).await?;
        let refused = || Fault::new(Code::BadCredentials);
        let better_hash = match verdict {
            Verdict::Wrong => return Err(refused()),
            Verdict::Right => None,
            Verdict::RightButWeak(better) => Some(better),
        };
        let member = found.ok_or_else(refused)?;
        let tokens = self.open_session(&member, &request.device, better_hash).await?.ok_or_else(refused)?;
        attempt.remember(&self.kv).await?;
        Ok(tokens)
    }

    pub(crate) async fn rotate(&self, request: Refresh) -> Result<Tokens> {
        let refused = || Fault::new(Code::BadRefreshToken);
        let token = Token::parse(&request.refresh_token).ok_or_else(refused)?;
        let now = self.clock.now();
        let txn = self.db.begin().await?;
        let known = self.living(&txn, &token, now).await?.ok_or_else(refused)?;
        if known.used_at.is_none() && store::token::spend(&txn, known.session, token.hash(), now).await? {
            let next = token.successor(self.vault.successor());
            let expires_at = now.plus_ms(self.settings.refresh_ttl_ms());
            store::token::insert(&txn, known.session, next.hash(), expires_at).await?;
            store::session::extend(&txn, known.member, known.session, expires_at).await?;
            self.db.commit(txn).await?;
            return self.pair(&known.holder(), &next, now);
        }
        // Used before, or by somebody who was faster just now.
        match self.follow(&txn, token, now).await? {
            Some((known, end)) => self.pair(&known.holder(), &end, now),
            None => {
                store::session::end(&txn, known.member, known.session, now).await?;
                self.db.commit(txn).await?;
                self.revoke(&[known.session]).await?;
                tracing::warn!(
                    member.id = %known.member, session.id = %known.session,
                    "a used refresh token was shown again; the session has ended"
                );
                Err(refused())
            }
        }
    }

    pub(crate) async fn sign_out(&self, request: SessionRef) -> Result<()> {
        let SessionRef { member, session } = request;
        let txn = self.db.begin().await?;
        store::session::end(&txn, member, session, self.clock.now()).await?;
        let own = store::session::belongs(&txn, member, session).await?;
        self.db.commit(txn).await?;
        // Also when it had ended: an earlier call may have failed right here.
        match own {
            true => self.revoke(&[session]).await,
            false => Ok(()),
        }
    }

    pub(crate) async fn sign_out_everywhere(&self, member: MemberId) -> Result<()> {
        let now = self.clock.now();
        let txn = self.db.begin().await?;
        store::session::end_all(&txn, member, now).await?;
        let since = now.plus_ms(-self.settings.access_ttl_ms());
        let ended = store::session::ended_of(&txn, member, since).await?;
        self.db.commit(txn).await?;
        self.revoke(&ended).await
    }

    /// Tells the edge again which sessions have ended while tokens of theirs may be alive.
    pub(crate) async fn refill_revoked(&self) -> Result<()> {
        let oldest = self.clock.now().plus_ms(-self.settings.access_ttl_ms());
        let mut after = (oldest, SessionId(uuid::Uuid::nil()));
        loop {
            let ended = store::session::ended(self.db.read(), after, ENDED_ROWS).await?;
            let Some(&last) = ended.last() else {
                return Ok(());
            };
            let sessions: Vec<SessionId> = ended.into_iter().map(|(_, session)| session).collect();
            self.revoke(&sessions).await?;
            after = last;
        }
    }

    /// An access token, alive from `now`.
    pub(crate) fn access_token(&self, holder: &Holder, now: Millis) -> Result<Secret> {
        let iat = now.0.div_euclid(1_000);
        let claims = Claims {
            iss: self.settings.issuer.clone(),
            aud: self.settings.audience.clone(),
            sub: holder.member,
            sid: holder.session,
            role: holder.role,
            ver: holder.verified,
            iat,
            exp: iat.saturating_add(self.settings.access_ttl_s),
        };
        self.signer.sign(&claims).map(Secret::new)
    }

    /// Absent when the member was disabled in the meantime.
    async fn open_session(
        &self,
        member: &store::member::Model,
        device: &Personal,
        better_hash: Option<String>,
    ) -> Result<Option<Tokens>> {
        let (id, now) = (SessionId(self.ids.next()), self.clock.now());
        let txn = self.db.begin().await?;
        let Some(key) = self.key_of(&txn, member).await? else {
            return Ok(None);
        };
        let device: String = device.expose().chars().take(DEVICE_CHARS_MAX).collect();
        let place = Place { table: "session", column: "device", row: id.0 };
        let device = key.seal(place, device.as_bytes())?;
        let live_until = now.plus_ms(self.settings.refresh_ttl_ms());
        let session = Session { id, member: member.member(), device: Some(device), created_at: now, live_until };
        if !store::session::open(&txn, session).await? {
            return Ok(None);
        }
        let token = Token::make()?;
        store::token::insert(&txn, id, token.hash(), live_until).await?;
        if let (Some(old), Some(better)) = (&member.password_hash, better_hash) {
            store::member::rehash(&txn, member.member(), old, &better).await?;
        }
        self.db.commit(txn).await?;
        let verified = member.email_verified_at_ms.is_some();
        let holder = Holder { member: member.member(), role: member.role()?, verified, session: id };
        self.pair(&holder, &token, now).map(Some)
    }

    /// A token that is known, of a session that goes on.
    async fn living(&self, txn: &Txn, token: &Token, now: Millis) -> Result<Option<Known>> {
        let known = store::token::find(txn, token.hash()).await?;
        Ok(known.filter(|known| !known.ended && known.expires_at > now))
    }

    /// The living end of the line that a used token began; absent when the token's grace is over (or the line is longer
    /// than any repetition explains).
    async fn follow(&self, txn: &Txn, mut token: Token, now: Millis) -> Result<Option<(Known, Token)>> {
        for _ in 0..STEPS_MAX {
            let Some(known) = self.living(txn, &token, now).await? else {
                return Ok(None);
            };
            match known.used_at {
                None => return Ok(Some((known, token))),
                Some(used_at) if now.since(used_at) > self.settings.refresh_grace_ms() => return Ok(None),
                Some(_) => token = token.successor(self.vault.successor()),
            }
        }
        Ok(None)
    }

    fn pair(&self, holder: &Holder, refresh: &Token, now: Millis) -> Result<Tokens> {
        let access_token = self.access_token(holder, now)?;
        Ok(Tokens { access_token, expires_in: self.settings.access_ttl_s, refresh_token: refresh.text() })
    }

    async fn revoke(&self, sessions: &[SessionId]) -> Result<()> {
        let ttl_ms = u64::try_from(self.settings.access_ttl_ms().saturating_add(REVOKED_MARGIN_MS)).unwrap_or(0);
        for session in sessions {
            self.kv.set(&revoked_key(*session), "1", ttl_ms).await?;
        }
        Ok(())
    }
}

impl Known {
    fn holder(&self) -> Holder {
        Holder { member: self.member, role: self.role, verified: self.verified, session: self.session }
    }
}
