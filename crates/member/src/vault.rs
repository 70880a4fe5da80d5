//! Encryption at rest and blind indexes.
//!
//! Every member has a data key of their own, locked ("wrapped") by a key derived from the master key; deleting the
//! wrapped key makes everything it locked unreadable. A sealed value is
//! `version (1) ‖ key id (16) ‖ nonce (12) ‖ ciphertext ‖ tag (16)`, AES-256-GCM with a random nonce; table, column and
//! row, and the bytes before the nonce, are associated data: a value moved to another place does not open.
//!
//! A blind index is HMAC-SHA256 under a key used for nothing else: equal values have equal indexes, which is what
//! finds a member by address and no more than that.

mod master_key;

pub use master_key::MasterKey;

use kit::{Fault, Ids, Personal, Result};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, hmac};
use uuid::Uuid;

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 1 + 16;

/// Where a sealed value lives.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub table: &'static str,
    pub column: &'static str,
    pub row: Uuid,
}

/// What a blind index is of: the same text has different indexes as different things.
#[derive(Clone, Copy)]
pub(crate) enum Indexed {
    Email,
    Phone,
    /// A network address, for counting only; never stored.
    Address,
}

/// A key that seals values.
pub(crate) struct DataKey {
    pub id: Uuid,
    aead: LessSafeKey,
}

/// A new data key and the form in which it may be stored.
pub(crate) struct NewDataKey {
    pub key: DataKey,
    pub wrapped: Vec<u8>,
}

/// The keys derived from the master key, each for one purpose.
pub(crate) struct Vault {
    wrapping: DataKey,
    signing: DataKey,
    index: hmac::Key,
    successor: hmac::Key,
}

impl Vault {
    pub(crate) fn new(master: &MasterKey) -> Result<Self> {
        // Tells under which master key something was wrapped.
        let mut id = [0_u8; 16];
        id.copy_from_slice(&digest::digest(&digest::SHA256, &master.derive("master key id")?).as_ref()[..16]);
        let id = Uuid::from_bytes(id);
        Ok(Self {
            wrapping: DataKey::new(id, &master.derive("wrap data keys")?)?,
            signing: DataKey::new(id, &master.derive("wrap signing keys")?)?,
            index: hmac::Key::new(hmac::HMAC_SHA256, &master.derive("blind index")?),
            successor: hmac::Key::new(hmac::HMAC_SHA256, &master.derive("refresh token successor")?),
        })
    }

    /// Makes a data key.
    pub(crate) fn make_data_key(&self, ids: &dyn Ids) -> Result<NewDataKey> {
        let id = ids.next();
        let bytes = random::<32>()?;
        let wrapped = self.wrapping.seal(wrapped_at(id), &bytes)?;
        Ok(NewDataKey { key: DataKey::new(id, &bytes)?, wrapped })
    }

    /// The data key `id` from its stored form.
    pub(crate) fn unwrap(&self, id: Uuid, wrapped: &[u8]) -> Result<DataKey> {
        DataKey::new(id, &self.wrapping.open(wrapped_at(id), wrapped)?)
    }

    /// The key that locks signing keys.
    pub(crate) fn signing(&self) -> &DataKey {
        &self.signing
    }

    /// Derives refresh tokens from refresh tokens.
    pub(crate) fn successor(&self) -> &hmac::Key {
        &self.successor
    }

    /// The blind index of a value in its folded form.
    pub(crate) fn index(&self, what: Indexed, value: &Personal) -> Vec<u8> {
        let domain: &[u8] = match what {
            Indexed::Email => b"email\0",
            Indexed::Phone => b"phone\0",
            Indexed::Address => b"address\0",
        };
        let mut context = hmac::Context::with_key(&self.index);
        context.update(domain);
        context.update(value.expose().as_bytes());
        context.sign().as_ref().to_vec()
    }
}

impl DataKey {
    fn new(id: Uuid, bytes: &[u8]) -> Result<Self> {
        let key = UnboundKey::new(&AES_256_GCM, bytes).map_err(|_| Fault::internal("a data key has a wrong size"))?;
        Ok(Self { id, aead: LessSafeKey::new(key) })
    }

    /// Locks `value` for its place.
    pub(crate) fn seal(&self, place: Place, value: &[u8]) -> Result<Vec<u8>> {
        let nonce = random::<NONCE_LEN>()?;
        let head = self.head();
        let mut locked = value.to_vec();
        let tag = self
            .aead
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(bound(&head, place)),
                &mut locked,
            )
            .map_err(|_| Fault::internal("a value cannot be sealed"))?;
        Ok([&head[..], &nonce, &locked, tag.as_ref()].concat())
    }

    /// Opens what was sealed for this place with this key. Errors: `internal`, naming the place.
    pub(crate) fn open(&self, place: Place, sealed: &[u8]) -> Result<Vec<u8>> {
        let wrong = || {
            let Place { table, column, row } = place;
            Fault::internal(format!("{table}.{column} of {row} does not open: other key, other place or damaged"))
        };
        let (head, rest) = sealed.split_at_checked(HEAD_BYTES).ok_or_else(wrong)?;
        let (nonce, locked) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(wrong)?;
        if head != self.head() {
            return Err(wrong());
        }
        let mut bytes = locked.to_vec();
        let opened = self
            .aead
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(bound(head, place)), &mut bytes)
            .map_err(|_| wrong())?
            .len();
        bytes.truncate(opened);
        Ok(bytes)
    }

    pub(crate) fn seal_personal(&self, place: Place, value: &Personal) -> Result<Vec<u8>> {
        self.seal(place, value.expose().as_bytes())
    }

    pub(crate) fn open_personal(&self, place: Place, sealed: &[u8]) -> Result<Personal> {
        let bytes = self.open(place, sealed)?;
        String::from_utf8(bytes).map(Personal::new).map_err(|_| Fault::internal("a sealed text is not UTF-8"))
    }

    fn head(&self) -> [u8; HEAD_BYTES] {
        let mut head = [VERSION; HEAD_BYTES];
        head[1..].copy_from_slice(self.id.as_bytes());
        head
    }
}

/// Bytes nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0_u8; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Fault::internal("no randomness"))?;
    Ok(bytes)
}

fn wrapped_at(id: Uuid) -> Place {
    Place { table: "data_key", column: "wrapped", row: id }
}

/// The associated data. Names are our own and hold no zero byte, so no two places read alike.
fn bound(head: &[u8], place: Place) -> Vec<u8> {
    [head, place.table.as_bytes(), b"\0", place.column.as_bytes(), b"\0", place.row.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(byte: &str) -> Vault {
        Vault::new(&MasterKey::from_hex(&byte.repeat(32)).expect("key")).expect("vault")
    }

    const ROW: Uuid = Uuid::from_u128(7);
    const AT: Place = Place { table: "member", column: "email", row: ROW };

    #[test]
    fn a_sealed_value_opens_in_its_place_only() {
        let key = vault("01").make_data_key(&kit::SystemIds).expect("key").key;
        let sealed = key.seal(AT, b"kim@example.com").expect("sealed");
        assert_eq!(key.open(AT, &sealed).expect("opened"), b"kim@example.com");
        let elsewhere =
            [Place { table: "mail", ..AT }, Place { column: "name", ..AT }, Place { row: Uuid::from_u128(8), ..AT }];
        for place in elsewhere {
            assert!(key.open(place, &sealed).is_err(), "{}.{} {}", place.table, place.column, place.row);
        }
    }

    #[test]
    fn equal_values_are_sealed_differently_and_every_changed_byte_is_noticed() {
        let key = vault("01").make_data_key(&kit::SystemIds).expect("key").key;
        let sealed = key.seal(AT, b"kim").expect("sealed");
        assert_ne!(sealed, key.seal(AT, b"kim").expect("sealed"));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open(AT, &changed).is_err(), "byte {at}");
            assert!(key.open(AT, &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_data_key_needs_its_master_key_and_its_id() {
        let (mine, other) = (vault("01"), vault("02"));
        let NewDataKey { key, wrapped } = mine.make_data_key(&kit::SystemIds).expect("key");
        let sealed = key.seal(AT, b"kim").expect("sealed");
        assert_eq!(mine.unwrap(key.id, &wrapped).expect("key").open(AT, &sealed).expect("opened"), b"kim");
        assert!(mine.unwrap(ROW, &wrapped).is_err());
        assert!(other.unwrap(key.id, &wrapped).is_err());
    }

    #[test]
    fn indexes_are_equal_for_equal_values_of_one_kind_under_one_key() {
        let (mine, other) = (vault("01"), vault("02"));
        let value = Personal::new("01012345678");
        assert_eq!(mine.index(Indexed::Phone, &value), mine.index(Indexed::Phone, &value));
        assert_ne!(mine.index(Indexed::Phone, &value), mine.index(Indexed::Email, &value));
        assert_ne!(mine.index(Indexed::Phone, &value), other.index(Indexed::Phone, &value));
    }
}
