//! Opening, routing, migrating, on the real databases: SQLite, and PostgreSQL when `JANGTEO_TEST_POSTGRES` names one.

use db::sea_orm::{ConnectionTrait as _, Value};
use db::{Db, Migration, Settings, Source, statement};
use kit::{Ids as _, SystemIds};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        const LIST: [Migration; 2] = [
            (
                "0001_note",
                "CREATE TABLE note (id bigint NOT NULL, place text NOT NULL, body bytea, UNIQUE (id, place));",
            ),
            ("0002_idempotency", db::idempotency::TABLE),
        ];
        db::migrations(&LIST)
    }
}

fn postgres(replica: Option<String>) -> Option<Source> {
    let url = std::env::var("JANGTEO_TEST_POSTGRES").ok()?;
    Some(Source::Postgres { url, replica, prefix: format!("d{}", SystemIds.next().simple()) })
}

/// Every database that can be had here.
async fn databases(dir: &std::path::Path) -> Vec<Db> {
    let sources = [Some(Source::Sqlite { dir: dir.to_owned() }), postgres(None)];
    let mut databases = Vec::new();
    for source in sources.into_iter().flatten() {
        databases.push(Db::open(&source, "test", &Settings::default()).await.expect("open"));
    }
    databases
}

async fn insert(db: &Db, id: i64, body: Vec<u8>) -> Result<(), db::sea_orm::DbErr> {
    let txn = db.begin().await.expect("begin");
    let values: [Value; 2] = [id.into(), body.into()];
    let sql = "INSERT INTO note (id, place, body) VALUES ($1, 'here', $2)";
    txn.execute_raw(statement(&txn, sql, values)).await?;
    db.commit(txn).await.expect("commit");
    Ok(())
}

async fn count(db: &Db) -> i64 {
    let row = db.read().query_one_raw(statement(db.read(), "SELECT count(*) FROM note", [])).await.expect("count");
    row.expect("row").try_get_by_index(0).expect("count")
}

#[tokio::test]
async fn a_duplicate_is_told_by_table_and_columns() {
    let dir = tempfile::tempdir().expect("folder");
    for db in databases(dir.path()).await {
        db::migrate::<Migrator>(&db).await.expect("migrated");
        insert(&db, 1, Vec::new()).await.expect("new");
        let twice = insert(&db, 1, Vec::new()).await.expect_err("duplicate");
        assert!(db::unique_violation(&twice, "note", &["id", "place"]), "{twice:?}");
        assert!(!db::unique_violation(&twice, "note", &["id"]));
        db.close().await.expect("closed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_may_migrate_at_once() {
    let Some(source) = postgres(None) else { return };
    let starts = (0..4).map(|_| {
        let source = source.clone();
        tokio::spawn(async move {
            let db = Db::open(&source, "test", &Settings { connections: 4, ..Settings::default() }).await?;
            db::migrate::<Migrator>(&db).await?;
            db.close().await
        })
    });
    for start in starts.collect::<Vec<_>>() {
        start.await.expect("no panic").expect("migrated");
    }
}

#[tokio::test]
async fn a_key_is_recorded_once_and_forgotten_after_its_time() {
    let dir = tempfile::tempdir().expect("folder");
    for db in databases(dir.path()).await {
        db::migrate::<Migrator>(&db).await.expect("migrated");
        let (now, later) = (kit::Millis(1_000), kit::Millis(1_000 + db::idempotency::KEPT_MS + 1));
        let claim = db::idempotency::Claim { member: SystemIds.next(), operation: 1, key: "k".into(), fingerprint: 7 };
        let txn = db.begin().await.expect("begin");
        assert_eq!(db::idempotency::find::<i64>(&txn, &claim).await.expect("found"), None);
        db::idempotency::record(&txn, &claim, &42_i64, now).await.expect("recorded");
        let twice = db::idempotency::record(&txn, &claim, &43_i64, now).await.expect_err("twice");
        assert_eq!(twice.code, kit::Code::IdempotencyInProgress);
        assert_eq!(db::idempotency::find::<i64>(&txn, &claim).await.expect("found"), Some(42));
        let other = db::idempotency::Claim { fingerprint: 8, ..claim.clone() };
        let reused = db::idempotency::find::<i64>(&txn, &other).await.expect_err("another body");
        assert_eq!(reused.code, kit::Code::IdempotencyKeyReused);
        assert_eq!(db::idempotency::purge(&txn, now, db::idempotency::KEPT_MS, 10).await.expect("kept"), 0);
        assert_eq!(db::idempotency::purge(&txn, later, db::idempotency::KEPT_MS, 10).await.expect("forgotten"), 1);
        db.commit(txn).await.expect("commit");
        db.close().await.expect("closed");
    }
}

#[tokio::test]
async fn a_transaction_that_is_dropped_leaves_nothing() {
    let dir = tempfile::tempdir().expect("folder");
    for db in databases(dir.path()).await {
        db::migrate::<Migrator>(&db).await.expect("migrated");
        let txn = db.begin().await.expect("begin");
        txn.execute_unprepared("INSERT INTO note (id, place) VALUES (1, 'here')").await.expect("inserted");
        drop(txn);
        assert_eq!(count(&db).await, 0);
        insert(&db, 1, Vec::new()).await.expect("the writer is free again");
        assert_eq!(count(&db).await, 1);
        db.close().await.expect("closed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_sqlite_stays_bounded_and_is_folded_in_at_the_end() {
    let dir = tempfile::tempdir().expect("folder");
    let source = Source::Sqlite { dir: dir.path().to_owned() };
    let db = Db::open(&source, "test", &Settings { sync: false, connections: 2 }).await.expect("open");
    db::migrate::<Migrator>(&db).await.expect("migrated");
    let log = dir.path().join("test.db-wal");
    let length = |path: &std::path::Path| std::fs::metadata(path).map(|m| m.len()).unwrap_or(0);
    // Three times what the log may grow to, in rows of half a megabyte.
    for id in 0..400 {
        insert(&db, id, vec![7; 512 * 1024]).await.expect("inserted");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(length(&log) < 160 * 1024 * 1024, "{} bytes", length(&log));
    assert_eq!(count(&db).await, 400);
    db.close().await.expect("closed");
    assert_eq!(length(&log), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn own_writes_are_read_whether_the_replica_answers_or_not() {
    let Ok(url) = std::env::var("JANGTEO_TEST_POSTGRES") else { return };
    // A replica that is always up to date, and one that is not there.
    for replica in [url, "postgres://nobody@127.0.0.1:1/nothing".to_owned()] {
        let Some(source) = postgres(Some(replica)) else { return };
        let db = Db::open(&source, "test", &Settings { connections: 4, ..Settings::default() }).await.expect("open");
        db::migrate::<Migrator>(&db).await.expect("migrated");
        for id in 0..20 {
            insert(&db, id, Vec::new()).await.expect("inserted");
            assert_eq!(count(&db).await, id + 1);
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

/// A full disk makes SQLite end the transaction by itself. Whatever is said to be committed afterwards must be.
#[tokio::test]
async fn after_a_full_disk_what_is_committed_is_committed() {
    let dir = tempfile::tempdir().expect("folder");
    let source = Source::Sqlite { dir: dir.path().to_owned() };
    let db = Db::open(&source, "test", &Settings::default()).await.expect("open");
    db::migrate::<Migrator>(&db).await.expect("migrated");

    let txn = db.begin().await.expect("begin");
    let small = "PRAGMA max_page_count = 20";
    txn.query_one_raw(statement(&txn, small, [])).await.expect("the disk is small");
    db.commit(txn).await.expect("commit");
    let txn = db.begin().await.expect("begin");
    let (large, sql) = (vec![1_u8; 200_000], "INSERT INTO note (id, place, body) VALUES ($1, 'here', $2)");
    let values: [Value; 2] = [1.into(), large.into()];
    let full = txn.execute_raw(statement(&txn, sql, values)).await.expect_err("the disk is full");
    assert!(db::is_outage(&full), "{full:?}");
    drop(txn);

    // One that only looks, as a refused request does, and then one that writes.
    for id in 2..5 {
        drop(db.begin().await.expect("begin"));
        insert(&db, id, Vec::new()).await.expect("there is room again");
        assert_eq!(count(&db).await, id - 1, "others see it");
    }
    drop(db.begin().await.expect("begin"));
    db.close().await.expect("closed");
    let db = Db::open(&source, "test", &Settings::default()).await.expect("open");
    assert_eq!(count(&db).await, 3, "it is still there");
    db.close().await.expect("closed");
}
