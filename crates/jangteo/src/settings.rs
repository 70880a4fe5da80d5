//! The configuration, said in each part's own words.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::config::Config;

impl Config {
    /// Where the databases are: on the configured server, or as files in `data`.
    pub fn source(&self, data: &Path) -> db::Source {
        match &self.database.url {
            Some(url) => db::Source::Postgres {
                url: url.0.expose().to_owned(),
                replica: self.database.replica_url.as_ref().map(|url| url.0.expose().to_owned()),
                prefix: self.database.prefix.clone(),
            },
            None => db::Source::Sqlite { dir: data.to_owned() },
        }
    }

    pub(crate) fn db_settings(&self) -> db::Settings {
        db::Settings { sync: self.database.sync, connections: self.database.connections }
    }

    /// Links in mails begin with `public_url`.
    pub(crate) fn member_settings(&self, public_url: String) -> member::Settings {
        let mail = match &self.mail.smtp_url {
            Some(url) => member::Mailer::Smtp { url: url.0.clone(), from: self.mail.from.clone() },
            None => member::Mailer::Mailbox,
        };
        member::Settings {
            issuer: self.member.issuer.clone(),
            audience: self.member.audience.clone(),
            access_ttl_s: self.member.access_minutes.saturating_mul(60),
            refresh_ttl_days: self.member.refresh_days,
            refresh_grace_s: self.member.refresh_grace_seconds,
            verification_hours: self.member.verification_hours,
            verification_mails_per_hour: self.member.verification_mails_per_hour,
            hashing_at_once: self.member.hashing_at_once,
            mail,
            public_url,
        }
    }

    /// Errors: the zone is not known to this build.
    pub(crate) fn order_settings(&self) -> Result<order::Settings> {
        let zone = kit::clock::zone(&self.market.zone).with_context(|| format!("no zone {}", self.market.zone))?;
        Ok(order::Settings {
            // Within range by the check of the configuration.
            hold_ms: (self.order.hold_minutes * 60_000.0).round() as i64,
            batch_max: self.order.batch_max,
            inbox_max: self.order.inbox_max,
            currency: self.market.currency,
            zone,
        })
    }

    pub(crate) fn gateway_settings(&self) -> gateway::Settings {
        let limits = &self.limits;
        gateway::Settings {
            body_bytes_max: limits.body_bytes_max,
            request_timeout_ms: milliseconds(limits.request_seconds),
            header_timeout_ms: milliseconds(limits.header_seconds),
            idle_timeout_ms: milliseconds(limits.idle_seconds),
            write_timeout_ms: milliseconds(limits.write_seconds),
            drain_timeout_ms: milliseconds(limits.drain_seconds),
            connections_max: limits.connections_max,
            in_flight_max: limits.in_flight_max,
            streams_max: limits.streams_max,
            rate_limits: limits.rate_limits,
            rates: gateway::Rates {
                address: rate(limits.address_burst, limits.address_per_minute),
                member: rate(limits.member_burst, limits.member_per_minute),
                sign_in: rate(limits.sign_in_burst, limits.sign_in_per_minute),
                sign_up: rate(limits.sign_up_burst, limits.sign_up_per_minute),
            },
            trust_forwarded: self.server.trust_forwarded,
            mailbox: self.mail.smtp_url.is_none(),
            rehearsal: self.rehearsal.enabled,
            issuer: self.member.issuer.clone(),
            audience: self.member.audience.clone(),
            currency: self.market.currency,
            ..gateway::Settings::default()
        }
    }
}

fn rate(burst: u32, per_minute: u32) -> gateway::Rate {
    gateway::Rate { burst, per_minute }
}

fn milliseconds(seconds: f64) -> u64 {
    // Within range by the check of the configuration.
    (seconds * 1_000.0).round() as u64
}
