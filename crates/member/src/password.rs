//! Passwords: which are refused, and how they are hashed.
//!
//! Argon2id, 19 MiB, two passes, one lane (OWASP's first recommendation of the low-memory ones). Hashing runs on
//! threads of its own and only so many at once, so that a login storm cannot take the cores of a sale; those that
//! wait are counted, and beyond a limit refused.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use kit::{Code, Fault, Lang, Personal, Result, Secret};
use tokio::sync::Semaphore;

use crate::phrase;
use crate::token::Token;

const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
/// Shorter local parts are no clue to a password: `a` is in most of them.
const LOCAL_CHARS_MIN: usize = 3;
/// Passwords that may wait to be hashed: some seconds of work.
const WAITING_MAX: usize = 128;

/// Sorted, lower case, one per line; where it comes from is told beside it.
static COMMON: LazyLock<Vec<&str>> = LazyLock::new(|| include_str!("../data/common-passwords.txt").lines().collect());

/// Judges a new password. Its length is judged with the rest of the body's form.
/// Errors: `invalid_fields` at `pointer`, reason `too_common` or `contains_email`.
pub(crate) fn check(password: &Secret, email: &Personal, pointer: String, lang: Lang) -> Result<()> {
    let folded = password.expose().to_lowercase();
    if COMMON.binary_search(&folded.trim()).is_ok() {
        return Err(Fault::field(pointer, "too_common", phrase::password_too_common(lang)));
    }
    let local = email.expose().split('@').next().unwrap_or_default();
    match local.chars().count() >= LOCAL_CHARS_MIN && folded.contains(local) {
        true => Err(Fault::field(pointer, "contains_email", phrase::password_contains_email(lang))),
        false => Ok(()),
    }
}

/// What comes of comparing a password with a hash.
#[derive(PartialEq, Debug)]
pub(crate) enum Verdict {
    Wrong,
    Right,
    /// The hash was made with weaker parameters; here is a better one.
    RightButWeak(String),
}

pub(crate) struct Hasher {
    /// Those that hash.
    turns: Arc<Semaphore>,
    /// Those that hash or wait.
    places: Arc<Semaphore>,
    /// The hash of a password nobody knows: compared with where there is none, so that it takes as long.
    nobodys: String,
    runs: AtomicU64,
}

impl Hasher {
    pub(crate) async fn start(at_once: usize) -> Result<Self> {
        let at_once = at_once.clamp(1, Semaphore::MAX_PERMITS - WAITING_MAX);
        let mut hasher = Self {
            turns: Arc::new(Semaphore::new(at_once)),
            places: Arc::new(Semaphore::new(at_once + WAITING_MAX)),
            nobodys: String::new(),
            runs: AtomicU64::new(0),
        };
        hasher.nobodys = hasher.hash(&Token::make()?.text()).await?;
        Ok(hasher)
    }

    /// The PHC text of a new password. Errors: `overloaded`.
    pub(crate) async fn hash(&self, password: &Secret) -> Result<String> {
        let password = password.clone();
        self.run(move || hash(&password)).await?
    }

    /// Compares with `stored`, or with nobody's hash where there is none: then the verdict is [`Verdict::Wrong`], and
    /// takes as long. Errors: `overloaded`.
    pub(crate) async fn verify(&self, password: &Secret, stored: Option<String>) -> Result<Verdict> {
        let exists = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.nobodys.clone());
        let password = password.clone();
        let verdict = self.run(move || verify(&password, &stored)).await??;
        Ok(if exists { verdict } else { Verdict::Wrong })
    }

    /// How many passwords were hashed or compared.
    #[cfg(test)]
    pub(crate) fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let busy = |_| Fault::new(Code::Overloaded).retry_after(1);
        let place = self.places.clone().try_acquire_owned().map_err(busy)?;
        let turn = self.turns.clone().acquire_owned().await.map_err(Fault::internal)?;
        self.runs.fetch_add(1, Ordering::Relaxed);
        // The work holds its turn itself: a caller that goes away does not make room for another one.
        let work = move || {
            let done = work();
            drop((turn, place));
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(Fault::internal)
    }
}

fn hash(password: &Secret) -> Result<String> {
    let cannot = |e: argon2::password_hash::Error| Fault::internal(format!("hashing: {e}"));
    let salt = crate::vault::random::<SALT_BYTES>()?;
    let hash = argon().map_err(cannot)?.hash_password_with_salt(password.expose().as_bytes(), &salt).map_err(cannot)?;
    Ok(hash.to_string())
}

fn verify(password: &Secret, stored: &str) -> Result<Verdict> {
    // Without the text: it is a secret.
    let damaged = |_| Fault::internal("a stored password hash cannot be read");
    let stored = PasswordHash::new(stored).map_err(damaged)?;
    // The parameters used are those of the stored hash.
    if Argon2::default().verify_password(password.expose().as_bytes(), &stored).is_err() {
        return Ok(Verdict::Wrong);
    }
    match is_weaker(&stored) {
        true => hash(password).map(Verdict::RightButWeak),
        false => Ok(Verdict::Right),
    }
}

fn argon() -> argon2::password_hash::Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn is_weaker(stored: &PasswordHash) -> bool {
    let params = Params::try_from(stored);
    let strong = |p: &Params| p.m_cost() >= MEMORY_KIB && p.t_cost() >= PASSES && p.p_cost() >= LANES;
    let current = stored.algorithm == Algorithm::Argon2id.ident() && stored.version == Some(Version::V0x13.into());
    !(current && params.is_ok_and(|p| strong(&p)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_passwords_and_the_address_itself_are_refused() {
        assert!(COMMON.is_sorted() && COMMON.len() > 5_000);
        let judge = |password: &str, email: &str| {
            let judged = check(&Secret::new(password), &Personal::new(email), "/password".into(), Lang::En);
            judged.err().map(|fault| fault.fields[0].reason.to_string())
        };
        let cases = [
            ("password1", "kim@example.com", Some("too_common")),
            ("PassWord1", "kim@example.com", Some("too_common")),
            (" qwertyuiop ", "kim@example.com", Some("too_common")),
            ("I am KIM of Seoul", "kim@example.com", Some("contains_email")),
            ("correct horse battery", "kim@example.com", None),
            ("correct horse battery", "a@example.com", None),
            ("긴 비밀번호는 좋다", "kim@example.com", None),
        ];
        for (password, email, reason) in cases {
            assert_eq!(judge(password, email).as_deref(), reason, "{password}");
        }
    }

    #[test]
    fn hashes_have_the_parameters_of_the_rule() {
        let hash = hash(&Secret::new("correct horse battery")).expect("hash");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    }

    #[test]
    fn weaker_hashes_are_made_anew() {
        let password = Secret::new("correct horse battery");
        let made = |algorithm, memory, passes| {
            let params = Params::new(memory, passes, 1, None).expect("params");
            let argon = Argon2::new(algorithm, Version::V0x13, params);
            argon.hash_password_with_salt(b"correct horse battery", &[9; 16]).expect("hash").to_string()
        };
        let weak = [
            made(Algorithm::Argon2id, 8_192, 2),
            made(Algorithm::Argon2id, MEMORY_KIB, 1),
            made(Algorithm::Argon2i, MEMORY_KIB, 2),
        ];
        for stored in weak {
            let Verdict::RightButWeak(better) = verify(&password, &stored).expect("verdict") else {
                panic!("{stored} is weak");
            };
            assert_eq!(verify(&password, &better).expect("verdict"), Verdict::Right);
            assert_eq!(verify(&Secret::new("wrong password"), &stored).expect("verdict"), Verdict::Wrong);
        }
        assert_eq!(verify(&password, &made(Algorithm::Argon2id, MEMORY_KIB, 3)).expect("verdict"), Verdict::Right);
    }

    #[tokio::test]
    async fn more_than_can_wait_are_refused() {
        let hasher = Hasher::start(1).await.expect("hasher");
        let _all = hasher.places.clone().acquire_many_owned(1 + WAITING_MAX as u32).await.expect("places");
        let fault = hasher.hash(&Secret::new("correct horse battery")).await.expect_err("full");
        assert_eq!((fault.code, fault.retry_after_s), (Code::Overloaded, Some(1)));
    }
}
