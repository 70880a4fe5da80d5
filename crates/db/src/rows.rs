//! Multi-row statements: one text per chunk size, so that it is prepared once.

use std::fmt::Write as _;

use kit::Result;
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value};

use crate::error::fault;

/// A statement with `$1` parameters, for either database.
pub fn statement(
    connection: &impl ConnectionTrait,
    sql: impl Into<String>,
    values: impl IntoIterator<Item = Value>,
) -> Statement {
    Statement::from_sql_and_values(connection.get_database_backend(), sql, values)
}

/// Rows are sent in chunks of these sizes: few enough texts to keep them all prepared, close enough together that most
/// lists go in two statements, and none longer than SQLite's limit of 32,766 parameters allows.
const CHUNKS: [usize; 14] = [128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1];

/// Rows to be bound into a statement that has `{rows}` where a list of them goes, as in
/// `INSERT INTO t (a, b) VALUES {rows}` or `WITH v (a, b) AS (VALUES {rows}) UPDATE …`.
/// `{lock t}` becomes `FOR UPDATE OF t` where several processes write; SQLite has one writer and needs none.
pub struct Rows<const COLUMNS: usize> {
    values: Vec<Value>,
}

impl<const COLUMNS: usize> Default for Rows<COLUMNS> {
    fn default() -> Self {
        Self { values: Vec::new() }
    }
}

impl<const COLUMNS: usize> Rows<COLUMNS> {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn push(&mut self, row: [Value; COLUMNS]) {
        self.values.extend(row);
    }

    pub fn len(&self) -> usize {
        self.values.len() / COLUMNS
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Runs `sql` over all rows; the number of rows affected.
    pub async fn execute(self, connection: &impl ConnectionTrait, sql: &str) -> Result<u64> {
        let mut affected = 0;
        for statement in self.statements(connection, sql) {
            affected += connection.execute_raw(statement).await.map_err(fault)?.rows_affected();
        }
        Ok(affected)
    }

    /// Runs `sql` over all rows and returns what it answers.
    pub async fn query(self, connection: &impl ConnectionTrait, sql: &str) -> Result<Vec<QueryResult>> {
        let mut found = Vec::new();
        for statement in self.statements(connection, sql) {
            found.extend(connection.query_all_raw(statement).await.map_err(fault)?);
        }
        Ok(found)
    }

    fn statements(self, connection: &impl ConnectionTrait, sql: &str) -> Vec<Statement> {
        let backend = connection.get_database_backend();
        let sql = with_locks(backend, sql);
        let mut statements = Vec::new();
        let mut rest = self.len();
        let mut values = self.values.into_iter();
        for chunk in CHUNKS {
            while rest >= chunk {
                let text = sql.replacen("{rows}", &placeholders(backend, COLUMNS, chunk), 1);
                statements.push(statement(connection, text, values.by_ref().take(chunk * COLUMNS)));
                rest -= chunk;
            }
        }
        statements
    }
}

fn with_locks(backend: DbBackend, sql: &str) -> String {
    let Some((before, rest)) = sql.split_once("{lock ") else {
        return sql.to_owned();
    };
    let (table, after) = rest.split_once('}').unwrap_or((rest, ""));
    match backend {
        DbBackend::Sqlite => format!("{before}{after}"),
        _ => format!("{before}FOR UPDATE OF {table}{after}"),
    }
}

/// `($1,$2),($3,$4)` for two columns and two rows.
fn placeholders(backend: DbBackend, columns: usize, rows: usize) -> String {
    let mut text = String::with_capacity(rows * columns * 6);
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ",(" });
        for column in 0..columns {
            text.push_str(if column == 0 { "" } else { "," });
            match backend {
                // SQLite looks each named parameter up in a list: a thousand of them would cost more than the rows.
                DbBackend::Sqlite => text.push('?'),
                // Writing to a String cannot fail.
                _ => drop(write!(text, "${}", row * columns + column + 1)),
            }
        }
        text.push(')');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_count_on() {
        assert_eq!(placeholders(DbBackend::Postgres, 2, 2), "($1,$2),($3,$4)");
        assert_eq!(placeholders(DbBackend::Sqlite, 2, 2), "(?,?),(?,?)");
    }

    #[test]
    fn the_largest_statement_fits_sqlite() {
        // The widest table written in rows has fewer than 32 columns.
        assert!(CHUNKS[0] * 32 < 32_766);
    }
}
