//! The double-entry ledger: the only truth about money.
//!
//! [`post`] is the one place where money moves. It asserts that a transfer sums to zero, changes each balance under a
//! guard, and writes the entries, all in the caller's transaction. Nothing else writes to `account` or `entry`, and
//! entries are never changed.

use contract::payment as api;
use db::sea_orm::{ActiveValue::Set, ConnectionTrait, DeriveActiveEnum, EntityTrait as _, EnumIter, Value};
use db::{Rows, Txn, fault, statement};
use kit::id::{MemberId, OrderId, TransferId};
use kit::{Code, Currency, Fault, Ids, Millis, RequestId, Result};
use uuid::Uuid;

use crate::entity::transfer;

/// Whose money. A balance is what the market owes the account's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    Wallet(MemberId),
    /// Where operators' credits come from: minus all that was ever issued.
    IssuedCredit,
    /// Money of attempts that are on their way between a wallet and `Sales`.
    Clearing,
    /// What paid orders brought in, to be split between sellers and fees.
    Sales,
}

impl Account {
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Wallet(_) => "wallet",
            Self::IssuedCredit => "issued_credit",
            Self::Clearing => "clearing",
            Self::Sales => "sales",
        }
    }

    pub(crate) fn owner(self) -> Uuid {
        match self {
            Self::Wallet(member) => member.0,
            Self::IssuedCredit | Self::Clearing | Self::Sales => Uuid::nil(),
        }
    }

    /// Balances that may take `amount_minor` without overflow, and without a debt where none is allowed.
    fn room_for(self, amount_minor: i64) -> (i64, i64) {
        let lowest_after = match self {
            Self::Wallet(_) | Self::Clearing => 0,
            Self::IssuedCredit | Self::Sales => i64::MIN,
        };
        let lowest = lowest_after.saturating_sub(amount_minor.min(0));
        let highest = i64::MAX.saturating_sub(amount_minor.max(0));
        (lowest, highest)
    }
}

/// Why money moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub(crate) enum Cause {
    /// An operator's credit: issued credit → wallet.
    #[sea_orm(string_value = "credit")]
    Credit,
    /// An order is being paid: wallet → clearing.
    #[sea_orm(string_value = "order")]
    Order,
    /// An order is paid: clearing → sales.
    #[sea_orm(string_value = "sale")]
    Sale,
    /// An order could not be paid: clearing → wallet.
    #[sea_orm(string_value = "refund")]
    Refund,
}

impl Cause {
    /// As a member sees it; `None` for what never touches a wallet.
    pub(crate) fn shown(self) -> Option<api::Cause> {
        match self {
            Self::Credit => Some(api::Cause::Credit),
            Self::Order => Some(api::Cause::Order),
            Self::Refund => Some(api::Cause::Refund),
            Self::Sale => None,
        }
    }
}

/// One signed change of one account, in minor units.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leg {
    pub account: Account,
    pub amount_minor: i64,
}

/// Legs of one transfer.
pub(crate) const LEGS_MAX: usize = 16;

/// A movement of money. `(cause, cause_id)` is unique: the same cause moves money once.
pub(crate) struct Transfer {
    pub id: TransferId,
    pub cause: Cause,
    pub cause_id: Uuid,
    pub order: Option<OrderId>,
    pub actor: MemberId,
    pub reason: Option<String>,
    pub request_id: RequestId,
    pub at: Millis,
    pub currency: Currency,
    pub legs: Vec<Leg>,
}

/// The legs that move `amount_minor` from one account to another.
pub(crate) fn legs(from: Account, to: Account, amount_minor: i64) -> Result<Vec<Leg>> {
    let taken = amount_minor.checked_neg().ok_or(Fault::new(Code::AmountOutOfRange))?;
    Ok(vec![Leg { account: from, amount_minor: taken }, Leg { account: to, amount_minor }])
}

/// Moves money, in the caller's transaction; the caller rolls back when this fails.
/// Errors: `insufficient_funds`, `amount_out_of_range`.
pub(crate) async fn post(txn: &Txn, ids: &dyn Ids, transfer: Transfer) -> Result<()> {
    let legs = checked(transfer.legs)?;
    let row = transfer::ActiveModel {
        id: Set(transfer.id.0),
        cause: Set(transfer.cause),
        cause_id: Set(transfer.cause_id),
        order_id: Set(transfer.order.map(|order| order.0)),
        actor_id: Set(transfer.actor.0),
        reason: Set(transfer.reason),
        request_id: Set(transfer.request_id.as_str().to_owned()),
        created_at_ms: Set(transfer.at.0),
    };
    transfer::Entity::insert(row).exec_without_returning(txn).await.map_err(fault)?;
    let mut entries = Rows::<5>::new();
    for leg in legs {
        let after = change_balance(txn, ids, leg, transfer.currency).await?;
        entries.push([
            after.account_id.into(),
            after.seq.into(),
            transfer.id.0.into(),
            leg.amount_minor.into(),
            after.balance_minor.into(),
        ]);
    }
    let sql = "INSERT INTO entry (account_id, seq, transfer_id, amount_minor, balance_after_minor) VALUES {rows}";
    entries.execute(txn, sql).await.map(|_| ())
}

/// The legs in the order in which accounts are locked everywhere: wallets by id, then the market's own accounts,
/// which everybody needs and which are therefore held shortest.
fn checked(mut legs: Vec<Leg>) -> Result<Vec<Leg>> {
    let out_of_range = || Fault::new(Code::AmountOutOfRange);
    if legs.len() < 2 || legs.len() > LEGS_MAX || legs.iter().any(|leg| leg.amount_minor == 0) {
        return Err(Fault::internal(format!("a transfer with {} legs, or with an empty one", legs.len())));
    }
    let mut sum = 0_i64;
    for leg in &legs {
        sum = sum.checked_add(leg.amount_minor).ok_or_else(out_of_range)?;
    }
    if sum != 0 {
        return Err(Fault::internal(format!("a transfer that sums to {sum}")));
    }
    let place = |account: Account| match account {
        Account::Wallet(_) => 0,
        Account::IssuedCredit => 1,
        Account::Clearing => 2,
        Account::Sales => 3,
    };
    legs.sort_by_key(|leg| (place(leg.account), leg.account.owner()));
    Ok(legs)
}

struct After {
    account_id: Uuid,
    balance_minor: i64,
    seq: i64,
}

async fn change_balance(txn: &Txn, ids: &dyn Ids, leg: Leg, currency: Currency) -> Result<After> {
    if let Some(after) = add(txn, leg, currency).await? {
        return Ok(after);
    }
    // Either the account is new or it has no room.
    open(txn, ids, leg.account, currency).await?;
    if let Some(after) = add(txn, leg, currency).await? {
        return Ok(after);
    }
    match leg.amount_minor < 0 {
        true => Err(Fault::new(Code::InsufficientFunds)),
        false => Err(Fault::new(Code::AmountOutOfRange)),
    }
}

/// `None` when the account does not exist or its balance has no room.
async fn add(txn: &Txn, leg: Leg, currency: Currency) -> Result<Option<After>> {
    let sql = "UPDATE account SET balance_minor = balance_minor + $1, entries = entries + 1
               WHERE kind = $2 AND owner_id = $3 AND currency = $4 AND balance_minor BETWEEN $5 AND $6
               RETURNING id, balance_minor, entries";
    let (lowest, highest) = leg.account.room_for(leg.amount_minor);
    let values: [Value; 6] = [
        leg.amount_minor.into(),
        leg.account.kind().into(),
        leg.account.owner().into(),
        currency.as_str().into(),
        lowest.into(),
        highest.into(),
    ];
    let Some(row) = txn.query_one_raw(statement(txn, sql, values)).await.map_err(fault)? else {
        return Ok(None);
    };
    Ok(Some(After {
        account_id: row.try_get_by_index(0).map_err(fault)?,
        balance_minor: row.try_get_by_index(1).map_err(fault)?,
        seq: row.try_get_by_index(2).map_err(fault)?,
    }))
}

/// Creates the account, empty, unless it exists.
async fn open(txn: &Txn, ids: &dyn Ids, account: Account, currency: Currency) -> Result<()> {
    let sql = "INSERT INTO account (id, kind, owner_id, currency, balance_minor, entries)
               VALUES ($1, $2, $3, $4, 0, 0) ON CONFLICT DO NOTHING";
    let values: [Value; 4] =
        [ids.next().into(), account.kind().into(), account.owner().into(), currency.as_str().into()];
    txn.execute_raw(statement(txn, sql, values)).await.map(|_| ()).map_err(fault)
}

/// What the account holds; an account that was never used is empty.
pub(crate) async fn balance(connection: &impl ConnectionTrait, account: Account, currency: Currency) -> Result<i64> {
    let sql = "SELECT balance_minor FROM account WHERE kind = $1 AND owner_id = $2 AND currency = $3";
    let values: [Value; 3] = [account.kind().into(), account.owner().into(), currency.as_str().into()];
    let row = connection.query_one_raw(statement(connection, sql, values)).await.map_err(fault)?;
    let balance = row.map(|row| row.try_get_by_index::<i64>(0)).transpose().map_err(fault)?;
    Ok(balance.unwrap_or(0))
}

/// One movement of an account.
pub(crate) struct Movement {
    /// Counts up within the account, without gaps.
    pub seq: i64,
    pub transfer: TransferId,
    pub amount_minor: i64,
    pub cause: Cause,
    pub order: Option<OrderId>,
    pub reason: Option<String>,
    pub at: Millis,
}

/// The account's movements before number `before`, newest first, at most `rows_max`.
pub(crate) async fn movements(
    connection: &impl ConnectionTrait,
    account: Account,
    currency: Currency,
    before: i64,
    rows_max: i64,
) -> Result<Vec<Movement>> {
    let sql = "SELECT entry.seq, entry.amount_minor, transfer.id, transfer.cause, transfer.order_id, transfer.reason,
                      transfer.created_at_ms
               FROM account
               JOIN entry ON entry.account_id = account.id
               JOIN transfer ON transfer.id = entry.transfer_id
               WHERE account.kind = $1 AND account.owner_id = $2 AND account.currency = $3 AND entry.seq < $4
               ORDER BY entry.seq DESC LIMIT $5";
    let values: [Value; 5] =
        [account.kind().into(), account.owner().into(), currency.as_str().into(), before.into(), rows_max.into()];
    let rows = connection.query_all_raw(statement(connection, sql, values)).await.map_err(fault)?;
    let read = |row: db::sea_orm::QueryResult| {
        Ok(Movement {
            seq: row.try_get_by_index(0)?,
            amount_minor: row.try_get_by_index(1)?,
            transfer: TransferId(row.try_get_by_index(2)?),
            cause: row.try_get_by_index(3)?,
            order: row.try_get_by_index::<Option<Uuid>>(4)?.map(OrderId),
            reason: row.try_get_by_index(5)?,
            at: Millis(row.try_get_by_index(6)?),
        })
    };
    rows.into_iter().map(read).collect::<Result<_, db::sea_orm::DbErr>>().map_err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg(account: Account, amount_minor: i64) -> Leg {
        Leg { account, amount_minor }
    }

    #[test]
    fn a_transfer_sums_to_zero_or_is_refused() {
        let wallet = Account::Wallet(MemberId(Uuid::nil()));
        assert!(checked(vec![leg(wallet, -5), leg(Account::Clearing, 5)]).is_ok());
        for (legs, code) in [
            (vec![leg(wallet, -5), leg(Account::Clearing, 4)], Code::Internal),
            (vec![leg(wallet, 0), leg(Account::Clearing, 0)], Code::Internal),
            (vec![leg(wallet, 5)], Code::Internal),
            (vec![], Code::Internal),
            (vec![leg(wallet, i64::MAX), leg(Account::Clearing, i64::MAX)], Code::AmountOutOfRange),
        ] {
            assert_eq!(checked(legs.clone()).expect_err("refused").code, code, "{legs:?}");
        }
        assert_eq!(legs(wallet, Account::Clearing, i64::MIN).expect_err("range").code, Code::AmountOutOfRange);
    }

    #[test]
    fn balances_have_room_without_overflow_or_debt() {
        let wallet = Account::Wallet(MemberId(Uuid::nil()));
        for (account, amount, room) in [
            (wallet, -5, (5, i64::MAX)),
            (wallet, 5, (0, i64::MAX - 5)),
            (wallet, i64::MIN, (i64::MAX, i64::MAX)),
            (Account::IssuedCredit, -5, (i64::MIN + 5, i64::MAX)),
            (Account::Sales, 5, (i64::MIN, i64::MAX - 5)),
        ] {
            assert_eq!(account.room_for(amount), room, "{account:?} {amount}");
        }
    }
}
