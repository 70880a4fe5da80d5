//! Database errors as faults.

use kit::{Code, Fault};
use sea_orm::{DbErr, RuntimeErr};

/// What a database error means to a caller: busy and unreachable can be tried again, all else is our own failure.
pub fn fault(e: DbErr) -> Fault {
    match is_outage(&e) {
        true => Fault::new(Code::Unavailable).retry_after(1).context(e),
        false => Fault::internal(e),
    }
}

/// The database cannot be used right now: unreachable, no free connection, locked, disk full.
pub fn is_outage(e: &DbErr) -> bool {
    match e {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(e)) | DbErr::Query(RuntimeErr::SqlxError(e)) => match &**e {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
            sqlx::Error::Database(e) => e.code().is_some_and(|code| is_outage_code(&code)),
            _ => false,
        },
        _ => false,
    }
}

/// Whether a failed commit surely left nothing behind.
///
/// SQLite reports a full disk (13) and a lock (5) before the commit record is written; a failed sync (10) leaves its
/// fate open. PostgreSQL that answers a COMMIT with an error has rolled back; one that does not answer may have not.
pub(crate) fn is_rolled_back(e: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(e)) | DbErr::Query(RuntimeErr::SqlxError(e))) = e else {
        return false;
    };
    let Some(code) = e.as_database_error().and_then(|e| e.code()) else {
        return false;
    };
    match code.parse::<i64>() {
        Ok(number) if code.len() < 5 => matches!(number & 0xff, 5 | 13),
        // 08: connection exceptions; 57P01 and its kin end the session, perhaps after the commit.
        _ => !code.starts_with("08") && !code.starts_with("57"),
    }
}

/// SQLite primary or extended result codes, PostgreSQL SQLSTATEs.
fn is_outage_code(code: &str) -> bool {
    match code.parse::<i64>() {
        // SQLITE_BUSY 5, SQLITE_LOCKED 6, SQLITE_READONLY 8, SQLITE_IOERR 10, SQLITE_FULL 13; the low byte is primary.
        Ok(number) if code.len() < 5 => matches!(number & 0xff, 5 | 6 | 8 | 10 | 13),
        // Connection exceptions, insufficient resources, operator intervention, deadlock and serialization failures.
        _ => ["08", "53", "57", "40"].iter().any(|class| code.starts_with(class)),
    }
}

/// Whether `e` says that a row with these values in `columns` of `table` exists already.
pub fn unique_violation(e: &DbErr, table: &str, columns: &[&str]) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(e)) | DbErr::Query(RuntimeErr::SqlxError(e))) = e else {
        return false;
    };
    let Some(e) = e.as_database_error().filter(|e| e.is_unique_violation()) else {
        return false;
    };
    match e.constraint() {
        // PostgreSQL's default name of a UNIQUE constraint.
        Some(name) => name == format!("{table}_{}_key", columns.join("_")),
        // SQLite lists the columns.
        None => {
            let listed: Vec<String> = columns.iter().map(|column| format!("{table}.{column}")).collect();
            e.message().ends_with(&format!("failed: {}", listed.join(", ")))
        }
    }
}

/// Whether `e` says that a row names another that is not there, or that is named by others and cannot go.
pub fn foreign_key_violation(e: &DbErr) -> bool {
    match e {
        DbErr::Exec(RuntimeErr::SqlxError(e)) | DbErr::Query(RuntimeErr::SqlxError(e)) => {
            e.as_database_error().is_some_and(|e| e.is_foreign_key_violation())
        }
        _ => false,
    }
}
