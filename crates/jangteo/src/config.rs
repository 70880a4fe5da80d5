//! The configuration: what an operator may set, where it comes from, and what is wrong with it.
//!
//! Flags of the command line win over the environment (`JANGTEO_<SECTION>_<KEY>`), the environment over the file, the
//! file over the defaults. A key that is not known is an error: a slip of the pen must not leave a default in force.
//!
//! **Invariant:** secrets are never printed, neither by `config print` nor in an error.

#![expect(clippy::ptr_arg, reason = "the checks that the derive makes of `validate` take a reference to the field")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use confique::meta::{FieldKind, Meta};
use confique::{Config as _, Layer as _};
use kit::{Currency, Secret};
use serde::{Deserialize, Serialize, Serializer};

/// Jangteo's configuration: every key with its default.
///
/// Give it with `jangteo serve --config FILE`; `jangteo config check --config FILE` finds mistakes.
#[derive(Clone, Debug, Serialize, confique::Config)]
pub struct Config {
    /// Where the market is reached.
    #[config(nested)]
    pub server: Server,

    /// What holds for the whole market. Do not change it once there are orders.
    #[config(nested)]
    pub market: Market,

    /// Where data is kept. Without a URL: SQLite files in the data folder.
    #[config(nested)]
    pub database: Database,

    /// People and their sign-in.
    #[config(nested)]
    pub member: Member,

    /// Holds, and the intake that decides purchases.
    #[config(nested)]
    pub order: Order,

    /// How mail leaves. Without an SMTP server it is shown on the page `/dev/mail`, to everybody who can reach it.
    #[config(nested)]
    pub mail: Mail,

    /// What one client, and all together, may ask for. A rate is GCRA: `..._burst` at once, then `..._per_minute`.
    #[config(nested)]
    pub limits: Limits,

    /// For rehearsals, not for a real market.
    #[config(nested)]
    pub rehearsal: Rehearsal,

    /// What the process writes to standard error about itself.
    #[config(nested)]
    pub log: Log,
}

#[derive(Clone, Debug, Serialize, confique::Config)]
pub struct Server {
    /// Address and port to listen on; port 0 takes a free one.
    #[config(default = "127.0.0.1:8080", env = "JANGTEO_SERVER_LISTEN")]
    pub listen: SocketAddr,

    /// Address and port of a second listener, for Prometheus. Without it there are no metrics.
    #[config(env = "JANGTEO_SERVER_METRICS")]
    pub metrics: Option<SocketAddr>,

    /// Where people reach the market, such as `https://market.example`; links in mails begin with it. Without it, the
    /// address that is listened on.
    #[config(
        env = "JANGTEO_SERVER_PUBLIC_URL",
        validate(is_web_address(public_url), "http:// or https://, without a slash at the end")
    )]
    pub public_url: Option<String>,

    /// The server stands behind one proxy that sets `X-Forwarded-For`; the last entry is taken for the client.
    #[config(default = false, env = "JANGTEO_SERVER_TRUST_FORWARDED")]
    pub trust_forwarded: bool,
}

#[derive(Clone, Debug, Serialize, confique::Config)]
pub struct Market {
    /// The one currency, ISO 4217.
    #[config(default = "KRW", env = "JANGTEO_MARKET_CURRENCY")]
    pub currency: Currency,

    /// The time zone in which days begin and end, IANA.
    #[config(default = "Asia/Seoul", env = "JANGTEO_MARKET_ZONE", validate(kit::clock::zone(zone).is_some(), "an IANA time zone such as Asia/Seoul"))]
    pub zone: String,
}

#[derive(Clone, Debug, Serialize, confique::Config)]
pub struct Database {
    /// A PostgreSQL server, such as `postgres://user:password@host/name`. Never printed.
    #[config(env = "JANGTEO_DATABASE_URL")]
    pub url: Option<Hidden>,

    /// A replica of it, for reading. Never printed.
    #[config(env = "JANGTEO_DATABASE_REPLICA_URL")]
    pub replica_url: Option<Hidden>,

    /// On PostgreSQL each service has a schema of its own, `<prefix>_<service>`.
    #[config(
        default = "jangteo",
        env = "JANGTEO_DATABASE_PREFIX",
        validate(is_prefix(prefix), "1 to 40 of a-z, 0-9 and _")
    )]
    pub prefix: String,

    /// Connections of each service: for reading (SQLite), or in all (PostgreSQL).
    #[config(default = 8, env = "JANGTEO_DATABASE_CONNECTIONS",
             validate((1..=1_000).contains(connections), "between 1 and 1000"))]
    pub connections: u32,

    /// Off only to measure what syncing costs: what was acknowledged is then lost at a power cut.
    #[config(default = true, env = "JANGTEO_DATABASE_SYNC")]
    pub sync: bool,
}

#[derive(Clone, Debug, Serialize, confique::Config)]
pub struct Member {
    /// The key that personal data is sealed with: 32 bytes, or 64 hexadecimal digits. Without it, `master.key` in the
    /// data folder, made at the first start. Lost, it takes all personal data with it.
    #[config(env = "JANGTEO_MEMBER_MASTER_KEY_FILE")]
    pub master_key_file: Option<PathBuf>,

    /// `iss` of access tokens.
    #[config(default = "jangteo", env = "JANGTEO_MEMBER_ISSUER", validate(!issuer.is_empty(), "not empty"))]
    pub issuer: String,

    /// `aud` of access tokens.
    #[config(default = "market", env = "JANGTEO_MEMBER_AUDIENCE", validate(!audience.is_empty(), "not empty"))]
    pub audience: String,

    /// Life of an access token.
    #[config(default = 10, env = "JANGTEO_MEMBER_ACCESS_MINUTES",
             validate((1..=1_440).contains(access_minutes), "between 1 and 1440"))]
    pub access_minutes: i64,

    /// Life of a refresh token that is not used.
    #[config(default = 14, env = "JANGTEO_MEMBER_REFRESH_DAYS",
             validate((1..=366).contains(refresh_days), "between 1 and 366"))]
    pub refresh_days: i64,

    /// How long a used refresh token may be shown again (a retry) before that counts as theft.
    #[config(default = 10, env = "JANGTEO_MEMBER_REFRESH_GRACE_SECONDS",
             validate((0..=300).contains(refresh_grace_seconds), "between 0 and 300"))]
    pub refresh_grace_seconds: i64,

    /// Life of a verification link.
    #[config(default = 24, env = "JANGTEO_MEMBER_VERIFICATION_HOURS",
             validate((1..=720).contains(verification_hours), "between 1 and 720"))]
    pub verification_hours: i64,

    /// Mails that one address may be sent in an hour.
    #[config(default = 5, env = "JANGTEO_MEMBER_VERIFICATION_MAILS_PER_HOUR",
             validate((1..=1_000).contains(verification_mails_per_hour), "between 1 and 1000"))]
    pub verification_mails_per_hour: i64,

    /// Passwords hashed at the same time; each takes a core and 19 MiB.
    #[config(default = 2, env = "JANGTEO_MEMBER_HASHING_AT_ONCE",
             validate((1..=256).contains(hashing_at_once), "between 1 and 256"))]
    pub hashing_at_once: usize,
}

#[derive(Clone, Debug, Serialize, confique::Config)]
pub struct Order {
    /// How long an unpaid order keeps its stock; fractions are allowed.
    #[config(default = 10.0, env = "JANGTEO_ORDER_HOLD_MINUTES",
             validate((0.01..=10_080.0).contains(hold_minutes), "between 0.01 and 10080"))]
    pub hold_minutes: f64,

    /// Purchases decided in one transaction, at most.
    #[config(default = 512, env = "JANGTEO_ORDER_BATCH_MAX",
             validate((1..=4_096).contains(batch_max), "between 1 and 4096"))]
    pub batch_max: usize,

    /// Purchases that may wait to be decided; one more is told that the market is busy.
    #[config(default = 8192, env = "JANGTEO_ORDER_INBOX_MAX",
             validate((1..=1_000_000).contains(inbox_max), "between 1 and 1000000"))]
    pub inbox_max: usize,
}

#[derive(Clone, Debug, Serialize, confique::Config)]
pub struct Mail {
    /// Such as `smtps://user:password@host:465` or `smtp://user:password@host:587?tls=required`. Never printed.
    #[config(env = "JANGTEO_MAIL_SMTP_URL")]
    pub smtp_url: Option<Hidden>,

    /// The sender.
    #[config(default = "Jangteo <no-reply@jangteo.example>", env = "JANGTEO_MAIL_FROM")]
    pub from: String,
}

#[derive(Clone, Debug, Serialize, confique::Config)]
pub struct Limits {
    /// The largest body of a request; more is refused with 413.
    #[config(default = 65536, env = "JANGTEO_LIMITS_BODY_BYTES_MAX",
             validate((1_024..=16_777_216).contains(body_bytes_max), "between 1024 and 16777216"))]
    pub body_bytes_max: usize,

    /// From the head of a request to its answer.
    #[config(default = 10.0, env = "JANGTEO_LIMITS_REQUEST_SECONDS", validate = is_seconds)]
    pub request_seconds: f64,

    /// From the first byte of a request to the last of its head.
    #[config(default = 10.0, env = "JANGTEO_LIMITS_HEADER_SECONDS", validate = is_seconds)]
    pub header_seconds: f64,

    /// A connection on which nothing is asked is closed after this.
    #[config(default = 75.0, env = "JANGTEO_LIMITS_IDLE_SECONDS", validate = is_seconds)]
    pub idle_seconds: f64,

    /// A client that takes nothing of its answer for this long is cut off.
    #[config(default = 30.0, env = "JANGTEO_LIMITS_WRITE_SECONDS", validate = is_seconds)]
    pub write_seconds: f64,

    /// A shutdown waits this long for running requests.
    #[config(default = 15.0, env = "JANGTEO_LIMITS_DRAIN_SECONDS", validate = is_seconds)]
    pub drain_seconds: f64,

    /// Open connections; one more is refused with 503.
    #[config(default = 20000, env = "JANGTEO_LIMITS_CONNECTIONS_MAX",
             validate((1..=1_000_000).contains(connections_max), "between 1 and 1000000"))]
    pub connections_max: usize,

    /// Requests being worked on; one more is refused with 503.
    #[config(default = 4096, env = "JANGTEO_LIMITS_IN_FLIGHT_MAX",
             validate((1..=1_000_000).contains(in_flight_max), "between 1 and 1000000"))]
    pub in_flight_max: usize,

    /// Open live streams; one more is refused with 503.
    #[config(default = 20000, env = "JANGTEO_LIMITS_STREAMS_MAX",
             validate((1..=1_000_000).contains(streams_max), "between 1 and 1000000"))]
    pub streams_max: usize,

    /// Rate limits as a whole; off only for rehearsals.
    #[config(default = true, env = "JANGTEO_LIMITS_RATE_LIMITS")]
    pub rate_limits: bool,

    /// Every request, per network address. Generous: a whole company or mobile carrier may share one.
    #[config(default = 20000, env = "JANGTEO_LIMITS_ADDRESS_BURST", validate = is_rate)]
    pub address_burst: u32,

    #[config(default = 600000, env = "JANGTEO_LIMITS_ADDRESS_PER_MINUTE", validate = is_rate)]
    pub address_per_minute: u32,

    /// Every signed-in request, per member.
    #[config(default = 120, env = "JANGTEO_LIMITS_MEMBER_BURST", validate = is_rate)]
    pub member_burst: u32,

    #[config(default = 600, env = "JANGTEO_LIMITS_MEMBER_PER_MINUTE", validate = is_rate)]
    pub member_per_minute: u32,

    /// Log-in and refresh, per network address.
    #[config(default = 30, env = "JANGTEO_LIMITS_SIGN_IN_BURST", validate = is_rate)]
    pub sign_in_burst: u32,

    #[config(default = 30, env = "JANGTEO_LIMITS_SIGN_IN_PER_MINUTE", validate = is_rate)]
    pub sign_in_per_minute: u32,

    /// Sign-up and verification, per network address.
    #[config(default = 30, env = "JANGTEO_LIMITS_SIGN_UP_BURST", validate = is_rate)]
    pub sign_up_burst: u32,

    #[config(default = 30, env = "JANGTEO_LIMITS_SIGN_UP_PER_MINUTE", validate = is_rate)]
    pub sign_up_per_minute: u32,
}

#[derive(Clone, Debug, Serialize, confique::Config)]
pub struct Rehearsal {
    /// Doors by which an administrator makes signed-in buyers with money in bulk.
    #[config(default = false, env = "JANGTEO_REHEARSAL_ENABLED")]
    pub enabled: bool,
}

#[derive(Clone, Debug, Serialize, confique::Config)]
pub struct Log {
    /// `text` for people, `json` for machines: one object a line.
    #[config(default = "text", env = "JANGTEO_LOG_FORMAT")]
    pub format: LogFormat,

    /// Which lines: `error`, `warn`, `info`, `debug`, `trace`, or per part as in `info,order=debug`.
    #[config(
        default = "info,sea_orm_migration=warn,sqlx::postgres::notice=warn",
        env = "JANGTEO_LOG_FILTER",
        validate(crate::log::is_filter(filter), "levels as in info or info,order=debug")
    )]
    pub filter: String,
}

/// The filter that is in force when none is set.
const FILTER_DEFAULT: &str = "info,sea_orm_migration=warn,sqlx::postgres::notice=warn";

impl Log {
    /// For a command that answers a person on the same terminal: only what is wrong, unless more was asked for.
    pub fn for_commands(&self) -> Self {
        match self.filter == FILTER_DEFAULT {
            true => Self { filter: "warn".into(), ..self.clone() },
            false => self.clone(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Text,
    Json,
}

/// A secret of the configuration: read, never written.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub Secret);

impl Serialize for Hidden {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str("[secret]")
    }
}

type Layer = <Config as confique::Config>::Layer;

impl Config {
    /// From the file (if one is given), the environment and the defaults.
    /// Errors: name what is wrong and where, without showing values of secrets.
    pub fn load(file: Option<&Path>) -> Result<Self> {
        let from_file = match file {
            Some(path) => read(path).with_context(|| format!("in {}", path.display()))?,
            None => Layer::empty(),
        };
        let from_env = Layer::from_env().context("in the environment")?;
        let merged = from_env.with_fallback(from_file).with_fallback(Layer::default_values());
        Self::from_layer(merged).context("the configuration is not complete")
    }

    /// As TOML, without secrets.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).context("the configuration cannot be written")
    }

    /// The commented template that explains every key.
    pub fn template() -> String {
        confique::toml::template::<Self>(confique::toml::FormatOptions::default())
    }

    /// Variables of the environment that look like ours but are not.
    pub fn unknown_variables() -> Vec<String> {
        let mut known: BTreeSet<&str> = VARIABLES_ELSEWHERE.into_iter().collect();
        add_variables(&Self::META, &mut known);
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        names.filter(|name| name.starts_with("JANGTEO_") && !known.contains(name.as_str())).collect()
    }
}

/// Variables with our prefix that are no keys of the configuration.
const VARIABLES_ELSEWHERE: [&str; 4] =
    ["JANGTEO_ADMIN_PASSWORD", "JANGTEO_CONFIG", "JANGTEO_SELLER_PASSWORD", "JANGTEO_TEST_POSTGRES"];

fn read(path: &Path) -> Result<Layer> {
    let text = std::fs::read_to_string(path).context("cannot be read")?;
    parse(&text)
}

fn parse(text: &str) -> Result<Layer> {
    // The parser's own message shows the line, which may hold a password.
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
        let line = e.span().map_or(0, |span| text[..span.start.min(text.len())].lines().count().max(1));
        anyhow::anyhow!("line {line}: {}", e.message())
    })?;
    let mut unknown = Vec::new();
    find_unknown(&table, &Config::META, "", &mut unknown);
    if !unknown.is_empty() {
        bail!("unknown: {}", unknown.join(", "));
    }
    Layer::deserialize(table).map_err(|e| anyhow::anyhow!("{}", e.to_string().trim().replace('\n', " ")))
}

/// Names keys that the configuration does not have.
fn find_unknown(table: &toml::Table, meta: &Meta, prefix: &str, unknown: &mut Vec<String>) {
    for (key, value) in table {
        let name = format!("{prefix}{key}");
        match (meta.fields.iter().find(|field| field.name == key).map(|field| &field.kind), value) {
            (Some(FieldKind::Nested { meta }), toml::Value::Table(inner)) => {
                find_unknown(inner, meta, &format!("{name}."), unknown);
            }
            (Some(FieldKind::Leaf { .. }), _) => {}
            (Some(FieldKind::Nested { .. }), _) => unknown.push(format!("{name} (a section, not a value)")),
            (None, _) => unknown.push(name),
        }
    }
}

fn add_variables(meta: &Meta, known: &mut BTreeSet<&'static str>) {
    for field in meta.fields {
        match &field.kind {
            FieldKind::Leaf { env, .. } => known.extend(env),
            FieldKind::Nested { meta } => add_variables(meta, known),
        }
    }
}

fn is_seconds(value: &f64) -> Result<(), &'static str> {
    match (0.05..=3_600.0).contains(value) {
        true => Ok(()),
        false => Err("between 0.05 and 3600 seconds"),
    }
}

fn is_rate(value: &u32) -> Result<(), &'static str> {
    match (1..=100_000_000).contains(value) {
        true => Ok(()),
        false => Err("between 1 and 100000000"),
    }
}

fn is_prefix(text: &str) -> bool {
    let fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    (1..=40).contains(&text.len()) && text.chars().all(fit)
}

fn is_web_address(text: &str) -> bool {
    let address = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    address.is_some_and(|rest| !rest.is_empty() && !rest.ends_with('/') && !rest.contains(char::is_whitespace))
}

#[cfg(test)]
mod tests;
