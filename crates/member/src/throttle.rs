//! The login throttle: it slows guessing, and locks nobody out.
//!
//! Tries are counted per network address, and per account. Whoever hammers an account uses its tries up, but only
//! those of strangers: a place from which the account was signed in before has tries of its own, so the owner at home
//! does not wait behind the guesser. An owner in a new place may have to wait, never for long: a try comes free every
//! few seconds. Sessions that are open are not touched by any of this.

use std::net::IpAddr;

use kit::{Code, Fault, Personal, Result};
use kv::{Quota, Shared};

use crate::vault::{Indexed, Vault};

const BY_ADDRESS: Quota = Quota { name: "login_address", burst: 60, per_minute: 60 };
const BY_ACCOUNT: Quota = Quota { name: "login_account", burst: 10, per_minute: 12 };
const BY_PLACE: Quota = Quota { name: "login_place", burst: 10, per_minute: 12 };
/// A place is remembered this long after a sign-in.
const PLACE_MS: u64 = 30 * 86_400_000;

/// An account and a network address, both as keyed hashes: the shared memory holds no personal data.
pub(crate) struct Attempt {
    account: String,
    address: String,
}

impl Attempt {
    pub(crate) fn new(vault: &Vault, email_index: &[u8], address: &Personal) -> Self {
        Self { account: hex(email_index), address: hex(&vault.index(Indexed::Address, &network(address))) }
    }

    /// Counts the attempt. Errors: `rate_limited`, with the time to wait.
    pub(crate) async fn admit(&self, kv: &Shared) -> Result<()> {
        take(kv, &BY_ADDRESS, &self.address).await?;
        match kv.get(&self.place()).await? {
            Some(_) => take(kv, &BY_PLACE, &self.place()).await,
            None => take(kv, &BY_ACCOUNT, &self.account).await,
        }
    }

    /// The account was signed in from here.
    pub(crate) async fn remember(&self, kv: &Shared) -> Result<()> {
        kv.set(&self.place(), "1", PLACE_MS).await
    }

    fn place(&self) -> String {
        format!("login/{}/{}", self.account, self.address)
    }
}

async fn take(kv: &Shared, quota: &Quota, key: &str) -> Result<()> {
    let verdict = kv.take(quota, key).await?;
    match verdict.allowed {
        true => Ok(()),
        false => {
            let wait_s = u32::try_from(verdict.retry_after_ms.div_ceil(1_000)).unwrap_or(u32::MAX);
            Err(Fault::new(Code::RateLimited).retry_after(wait_s.max(1)))
        }
    }
}

/// The address as far as one customer of a network has it: all of IPv4, the first half of IPv6.
fn network(address: &Personal) -> Personal {
    let folded = match address.expose().parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V6(ip)) => ip.segments()[..4].iter().map(|part| format!("{part:x}:")).collect(),
        Ok(IpAddr::V4(ip)) => ip.to_string(),
        Err(_) => address.expose().to_owned(),
    };
    Personal::new(folded)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::vault::MasterKey;

    fn vault() -> Vault {
        Vault::new(&MasterKey::from_hex(&"07".repeat(32)).expect("key")).expect("vault")
    }

    #[test]
    fn one_customer_has_one_network() {
        let folded = |text: &str| network(&Personal::new(text)).expose().to_owned();
        let alike = [("2001:db8:1:2:3::4", "2001:db8:1:2::9"), ("::ffff:192.0.2.1", "192.0.2.1"), ("x", "x")];
        for (a, b) in alike {
            assert_eq!(folded(a), folded(b));
        }
        for (a, b) in [("2001:db8:1:2::", "2001:db8:1:3::"), ("192.0.2.1", "192.0.2.2")] {
            assert_ne!(folded(a), folded(b));
        }
    }

    #[tokio::test]
    async fn a_guesser_is_slowed_and_the_owner_at_home_is_not() {
        let (kv, vault): (Shared, Vault) = (Arc::new(kv::Memory::new()), vault());
        let email = vault.index(Indexed::Email, &Personal::new("kim@example.com"));
        let home = Attempt::new(&vault, &email, &Personal::new("192.0.2.1"));
        home.remember(&kv).await.expect("remembered");
        let guess = |n: u32| Attempt::new(&vault, &email, &Personal::new(format!("198.51.100.{n}")));
        for n in 0..BY_ACCOUNT.burst {
            guess(n).admit(&kv).await.expect("still free");
        }
        let fault = guess(200).admit(&kv).await.expect_err("used up");
        assert_eq!(fault.code, Code::RateLimited);
        assert!(fault.retry_after_s.is_some_and(|s| (1..=60).contains(&s)));
        home.admit(&kv).await.expect("has tries of its own");
    }

    #[tokio::test]
    async fn one_address_is_slowed_over_all_accounts() {
        let (kv, vault): (Shared, Vault) = (Arc::new(kv::Memory::new()), vault());
        let mut refused = 0;
        for n in 0..BY_ADDRESS.burst + 5 {
            let email = vault.index(Indexed::Email, &Personal::new(format!("{n}@example.com")));
            let attempt = Attempt::new(&vault, &email, &Personal::new("192.0.2.1"));
            refused += u32::from(attempt.admit(&kv).await.is_err());
        }
        assert!((1..=5).contains(&refused), "{refused}");
    }
}
