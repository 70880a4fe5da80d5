//! The keys that access tokens are believed by: fetched from the member service, fetched anew now and then, and when
//! a token names a key that is not known. Nothing about tokens is remembered: each is verified each time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use contract::member::MemberClient;
use kit::jwt::{Claims, KeySet, named_key};
use kit::{Code, Ctx, Fault, Millis, Result};
use parking_lot::RwLock;
use tokio::sync::Mutex;

use crate::settings::Settings;

/// A withdrawn key is believed for at most this long (longer only while the member service does not answer).
const AGE_MAX: Duration = Duration::from_secs(60);
/// However many tokens name unknown keys, the member service is asked no more often than this because of them.
const PAUSE: Duration = Duration::from_secs(5);
/// Nor more often than this while it does not answer.
const PAUSE_FAILED: Duration = Duration::from_secs(1);
/// A request waits no longer than this for newer keys.
const FETCH_WITHIN: Duration = Duration::from_secs(2);

pub(crate) struct Keys {
    member: MemberClient,
    issuer: String,
    audience: String,
    known: RwLock<Option<Known>>,
    /// Held while the member service is being asked: one at a time.
    pauses: Mutex<Pauses>,
}

/// Until when not to ask: because of strangers, and at all.
struct Pauses {
    strangers: Instant,
    all: Instant,
}

#[derive(Clone)]
struct Known {
    set: Arc<KeySet>,
    fetched: Instant,
}

impl Known {
    fn is_old(&self) -> bool {
        self.fetched.elapsed() >= AGE_MAX
    }
}

impl Keys {
    pub(crate) fn new(member: MemberClient, settings: &Settings) -> Self {
        Self {
            member,
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            known: RwLock::new(None),
            pauses: Mutex::new(Pauses { strangers: Instant::now(), all: Instant::now() }),
        }
    }

    /// The claims of a genuine token. Errors: `unauthenticated`, `token_expired`, `unavailable` when there are no keys
    /// to judge by.
    pub(crate) async fn verify(&self, ctx: &Ctx, token: &str, now: Millis) -> Result<Claims> {
        let set = self.current(ctx).await?;
        match set.verify(token, now) {
            Err(fault) if fault.code == Code::Unauthenticated && is_foreign(&set, token) => {
                match self.fetched_for_stranger(ctx).await {
                    Some(newer) => newer.verify(token, now),
                    None => Err(fault),
                }
            }
            verdict => verdict,
        }
    }

    /// The keys as known. When they are old, one request fetches newer ones while the others go on with these.
    async fn current(&self, ctx: &Ctx) -> Result<Arc<KeySet>> {
        let known = self.known.read().clone();
        match known {
            Some(known) if !known.is_old() => Ok(known.set),
            Some(old) => match self.pauses.try_lock() {
                Ok(mut pauses) => Ok(self.fetch(ctx, &mut pauses).await.unwrap_or(old.set)),
                Err(_) => Ok(old.set),
            },
            None => {
                let mut pauses = self.pauses.lock().await;
                let meanwhile = self.known.read().clone();
                match meanwhile {
                    Some(known) => Ok(known.set),
                    None => self.fetch(ctx, &mut pauses).await,
                }
            }
        }
    }

    /// Newer keys, because a token names one that is not known; `None` when asking again would be too often.
    async fn fetched_for_stranger(&self, ctx: &Ctx) -> Option<Arc<KeySet>> {
        let began = Instant::now();
        let mut pauses = self.pauses.lock().await;
        let known = self.known.read().clone();
        if let Some(known) = known.filter(|known| known.fetched >= began) {
            return Some(known.set);
        }
        if Instant::now() < pauses.strangers {
            return None;
        }
        pauses.strangers = Instant::now() + PAUSE;
        self.fetch(ctx, &mut pauses).await.ok()
    }

    async fn fetch(&self, ctx: &Ctx, pauses: &mut Pauses) -> Result<Arc<KeySet>> {
        if Instant::now() < pauses.all {
            return Err(Fault::new(Code::Unavailable).retry_after(1));
        }
        let keys = self.member.keys(&ctx.clone().within(FETCH_WITHIN), ()).await;
        let keys = match keys {
            Ok(keys) => keys,
            Err(fault) => {
                pauses.all = Instant::now() + PAUSE_FAILED;
                tracing::warn!(error = %fault, "the signing keys could not be fetched");
                return Err(Fault::new(Code::Unavailable).retry_after(1));
            }
        };
        let set = Arc::new(KeySet::new(&keys.keys, &self.issuer, &self.audience)?);
        *self.known.write() = Some(Known { set: set.clone(), fetched: Instant::now() });
        Ok(set)
    }
}

fn is_foreign(set: &KeySet, token: &str) -> bool {
    named_key(token).is_some_and(|kid| !set.knows(&kid))
}
