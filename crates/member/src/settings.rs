//! What an operator can set.

use kit::Secret;

#[derive(Clone, Debug)]
pub struct Settings {
    /// `iss` of access tokens; the edge must expect the same.
    pub issuer: String,
    /// `aud` of access tokens; the edge must expect the same.
    pub audience: String,
    /// Life of an access token, seconds.
    pub access_ttl_s: i64,
    /// Life of an unused refresh token, days.
    pub refresh_ttl_days: i64,
    /// How long after its use a refresh token may be shown again (a retry) before that counts as theft, seconds.
    pub refresh_grace_s: i64,
    /// Life of a verification link, hours.
    pub verification_hours: i64,
    /// Mails that one address may be sent in an hour.
    pub verification_mails_per_hour: i64,
    /// Passwords hashed at the same time: each takes a core and 19 MiB.
    pub hashing_at_once: usize,
    pub mail: Mailer,
    /// Where people reach the market, without a slash at the end; links in mails begin with it.
    pub public_url: String,
}

/// How mail leaves.
#[derive(Clone, Debug)]
pub enum Mailer {
    /// It does not: the mailbox page shows it.
    Mailbox,
    /// By a mail server.
    Smtp {
        /// `smtps://user:password@host:465`, or `smtp://…:587?tls=required`.
        url: Secret,
        /// The sender, such as `Jangteo <hello@jangteo.example>`.
        from: String,
    },
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            issuer: "jangteo".into(),
            audience: "jangteo".into(),
            access_ttl_s: 600,
            refresh_ttl_days: 14,
            refresh_grace_s: 10,
            verification_hours: 24,
            verification_mails_per_hour: 5,
            hashing_at_once: 2,
            mail: Mailer::Mailbox,
            public_url: "http://127.0.0.1:8080".into(),
        }
    }
}

impl Settings {
    pub(crate) fn access_ttl_ms(&self) -> i64 {
        self.access_ttl_s.saturating_mul(1_000)
    }

    pub(crate) fn refresh_ttl_ms(&self) -> i64 {
        self.refresh_ttl_days.saturating_mul(86_400_000)
    }

    pub(crate) fn refresh_grace_ms(&self) -> i64 {
        self.refresh_grace_s.saturating_mul(1_000)
    }

    pub(crate) fn verification_ttl_ms(&self) -> i64 {
        self.verification_hours.saturating_mul(HOUR_MS)
    }
}

pub(crate) const HOUR_MS: i64 = 3_600_000;
