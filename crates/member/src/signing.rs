//! The keys that access tokens are signed with, sealed in the database.
//!
//! The newest signs. All that were not retired are published, so that tokens of an earlier one stay good while they
//! live.

use db::Db;
use kit::jwt::{PublicKey, SigningKey};
use kit::{Clock, Fault, Ids, Result};
use uuid::Uuid;

use crate::store;
use crate::vault::{Place, Vault};

/// The key that signs; a first one is made when there is none.
pub(crate) async fn load_or_make(db: &Db, vault: &Vault, clock: &dyn Clock, ids: &dyn Ids) -> Result<SigningKey> {
    let txn = db.begin().await?;
    if let Some(newest) = store::signing_key::list(&txn, clock.now()).await?.first() {
        return open(vault, newest);
    }
    let id = ids.next();
    let pkcs8 = SigningKey::generate_pkcs8()?;
    let sealed = vault.signing().seal(place(id), &pkcs8)?;
    store::signing_key::insert(&txn, id, sealed, clock.now()).await?;
    db.commit(txn).await?;
    SigningKey::from_pkcs8(&id.to_string(), &pkcs8)
}

/// The public halves of all that are believed. Read from the database, because another process may have made one.
pub(crate) async fn published(db: &Db, vault: &Vault, clock: &dyn Clock) -> Result<Vec<PublicKey>> {
    let keys = store::signing_key::list(db.read(), clock.now()).await?;
    keys.iter().map(|key| Ok(open(vault, key)?.public().clone())).collect()
}

fn open(vault: &Vault, key: &store::signing_key::Model) -> Result<SigningKey> {
    let pkcs8 = vault.signing().open(place(key.id), &key.pkcs8).map_err(|fault| {
        let why = fault.context.unwrap_or_default();
        Fault::internal(format!("{why} (is this the master key that the database was written with?)"))
    })?;
    SigningKey::from_pkcs8(&key.id.to_string(), &pkcs8)
}

fn place(id: Uuid) -> Place {
    Place { table: "signing_key", column: "pkcs8", row: id }
}
