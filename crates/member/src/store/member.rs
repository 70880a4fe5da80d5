//! Members. What is personal is sealed before it comes here.

use db::{Rows, fault, statement};
use kit::id::MemberId;
use kit::{Fault, Millis, Result, Role};
use sea_orm::entity::prelude::*;
use sea_orm::{ConnectionTrait, Value};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "member")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub role: String,
    pub data_key_id: Uuid,
    pub email_index: Vec<u8>,
    pub email: Vec<u8>,
    pub name: Vec<u8>,
    pub phone: Option<Vec<u8>>,
    pub business_name: Option<String>,
    pub password_hash: Option<String>,
    pub email_verified_at_ms: Option<i64>,
    pub disabled_at_ms: Option<i64>,
    pub joined_at_ms: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn member(&self) -> MemberId {
        MemberId(self.id)
    }

    pub(crate) fn role(&self) -> Result<Role> {
        Role::parse(&self.role).ok_or_else(|| Fault::internal(format!("member {} has no known role", self.id)))
    }
}

/// Inserts those whose e-mail is not taken; how many.
pub(crate) async fn insert(txn: &impl ConnectionTrait, members: Vec<Model>) -> Result<u64> {
    let mut rows = Rows::<12>::new();
    for member in members {
        rows.push([
            member.id.into(),
            member.role.into(),
            member.data_key_id.into(),
            member.email_index.into(),
            member.email.into(),
            member.name.into(),
            member.phone.into(),
            member.business_name.into(),
            member.password_hash.into(),
            member.email_verified_at_ms.into(),
            member.disabled_at_ms.into(),
            member.joined_at_ms.into(),
        ]);
    }
    let sql = "INSERT INTO member (id, role, data_key_id, email_index, email, name, phone, business_name,
                   password_hash, email_verified_at_ms, disabled_at_ms, joined_at_ms)
               VALUES {rows} ON CONFLICT (email_index) DO NOTHING";
    rows.execute(txn, sql).await
}

pub(crate) async fn find(connection: &impl ConnectionTrait, member: MemberId) -> Result<Option<Model>> {
    Entity::find_by_id(member.0).one(connection).await.map_err(fault)
}

pub(crate) async fn find_by_email(connection: &impl ConnectionTrait, email_index: &[u8]) -> Result<Option<Model>> {
    Entity::find().filter(Column::EmailIndex.eq(email_index)).one(connection).await.map_err(fault)
}

/// What a token says about its member.
#[derive(Clone)]
pub(crate) struct Bearer {
    pub email_index: Vec<u8>,
    pub member: MemberId,
    pub role: Role,
    pub verified: bool,
    pub disabled: bool,
}

/// The members that have one of these e-mails.
pub(crate) async fn bearers(txn: &impl ConnectionTrait, email_indexes: &[Vec<u8>]) -> Result<Vec<Bearer>> {
    let mut rows = Rows::<1>::new();
    for index in email_indexes {
        rows.push([index.clone().into()]);
    }
    let sql = "WITH wanted (email_index) AS (VALUES {rows})
               SELECT m.email_index, m.id, m.role, m.email_verified_at_ms, m.disabled_at_ms
               FROM member m WHERE m.email_index IN (SELECT email_index FROM wanted)";
    rows.query(txn, sql).await?.iter().map(bearer).collect()
}

fn bearer(row: &sea_orm::QueryResult) -> Result<Bearer> {
    let id: Uuid = row.try_get_by_index(1).map_err(fault)?;
    let role: String = row.try_get_by_index(2).map_err(fault)?;
    Ok(Bearer {
        email_index: row.try_get_by_index(0).map_err(fault)?,
        member: MemberId(id),
        role: Role::parse(&role).ok_or_else(|| Fault::internal(format!("member {id} has no known role")))?,
        verified: row.try_get_by_index::<Option<i64>>(3).map_err(fault)?.is_some(),
        disabled: row.try_get_by_index::<Option<i64>>(4).map_err(fault)?.is_some(),
    })
}

/// Makes others that lock the same member wait for the end of this transaction.
pub(crate) async fn lock(txn: &impl ConnectionTrait, member: MemberId) -> Result<()> {
    let mut rows = Rows::<1>::new();
    rows.push([member.0.into()]);
    let sql = "WITH wanted (id) AS (VALUES {rows})
               SELECT m.id FROM member m WHERE m.id IN (SELECT id FROM wanted) {lock m}";
    rows.query(txn, sql).await.map(|_| ())
}

/// Marks the e-mail as verified, once.
pub(crate) async fn verify_email(txn: &impl ConnectionTrait, member: MemberId, now: Millis) -> Result<()> {
    let sql = "UPDATE member SET email_verified_at_ms = $1 WHERE id = $2 AND email_verified_at_ms IS NULL";
    let values: [Value; 2] = [now.0.into(), member.0.into()];
    txn.execute_raw(statement(txn, sql, values)).await.map_err(fault).map(|_| ())
}

/// Replaces a password hash, unless somebody else was faster.
pub(crate) async fn rehash(txn: &impl ConnectionTrait, member: MemberId, old: &str, new: &str) -> Result<()> {
    let sql = "UPDATE member SET password_hash = $1 WHERE id = $2 AND password_hash = $3";
    let values: [Value; 3] = [new.into(), member.0.into(), old.into()];
    txn.execute_raw(statement(txn, sql, values)).await.map_err(fault).map(|_| ())
}
