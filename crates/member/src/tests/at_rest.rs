//! What lies on the disk.

use std::path::Path;
use std::sync::Arc;

use contract::member::Member as _;
use db::sea_orm::ConnectionTrait as _;
use db::{Db, Source, statement};
use kit::{Clock as _, Code, Ctx, Lang, Personal, SystemIds};

use super::{PASSWORD, Town, person, start};
use crate::{Deps, MasterKey, Service, Settings};

/// No byte of a person, of a password or of a token may be found in the files, with the log still beside them.
#[tokio::test]
async fn a_canary_is_nowhere_in_the_database_files() {
    let folder = tempfile::tempdir().expect("folder");
    let source = Source::Sqlite { dir: folder.path().to_owned() };
    let db = Db::open(&source, "member", &db::Settings::default()).await.expect("database");
    let (clock, kv): (_, kv::Shared) = (kit::ManualClock::default(), Arc::new(kv::Memory::new()));
    let service = start(&db, &kv, &clock, &Settings::default()).await;
    let ctx = Ctx { lang: Lang::En, ..Ctx::internal(&SystemIds) };
    let town = Town { service, clock, kv, db, ctx, settings: Settings::default(), _folder: folder };

    town.sign_up("canary@bird.example", "010-7357-7357").await.expect("signed up");
    let verification = town.token_for("canary@bird.example").await;
    let tokens = town.login("canary@bird.example", PASSWORD).await.expect("logged in");
    town.sign_up("canary@bird.example", "01073577358").await.expect("answered alike");
    let enroll = contract::member::Person { name: Personal::new("Canary Kim"), ..person("flock@bird.example") };
    let request = contract::member::Enroll { role: kit::Role::Buyer, people: vec![enroll], tokens: true };
    town.service.enroll(&town.ctx, request).await.expect("enrolled");

    let secrets = [
        "canary",
        "Canary",
        "bird.example",
        "01073577357",
        "7357-7357",
        "김장터",
        PASSWORD,
        &verification,
        tokens.refresh_token.expose(),
        "a telephone",
        "Verification token",
        super::HOME,
    ];
    let searched = search(town._folder.path(), &secrets);
    assert!(searched.iter().any(|name| name.ends_with("-wal")), "the log was looked at: {searched:?}");
    // After everything was folded into the file as well.
    town.service.stop().await;
    town.db.clone().close().await.expect("closed");
    search(town._folder.path(), &secrets);
}

/// Asserts that none of `secrets` is in any file; the names of the files.
fn search(folder: &Path, secrets: &[&str]) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        let bytes = std::fs::read(&path).expect("file");
        for secret in secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is in {}", path.display());
        }
        names.push(path.display().to_string());
    }
    names
}

#[tokio::test]
async fn equal_data_is_sealed_differently_and_cannot_be_moved() {
    let town = Town::new().await;
    town.buyer("a@x.example", "01011112222").await;
    town.buyer("b@x.example", "01033334444").await;
    // Both have the same name.
    assert_eq!(town.count("SELECT count(DISTINCT name) FROM member").await, 2);
    let login = town.login("a@x.example", PASSWORD).await.expect("logged in");
    let a = town.claims(&login.access_token).await.expect("genuine").sub;
    let broken = [
        // Another column of the same row, the same column of another row, another row with its key.
        "UPDATE member SET name = email WHERE id = $1",
        "UPDATE member SET name = (SELECT o.name FROM member o WHERE o.id <> $1) WHERE id = $1",
        "UPDATE member SET data_key_id = (SELECT o.data_key_id FROM member o WHERE o.id <> $1) WHERE id = $1",
    ];
    let row = statement(town.db.read(), "SELECT name, data_key_id FROM member WHERE id = $1", [a.0.into()]);
    let row = town.db.read().query_one_raw(row).await.expect("query").expect("row");
    let (name, key): (Vec<u8>, uuid::Uuid) =
        (row.try_get_by_index(0).expect("name"), row.try_get_by_index(1).expect("key"));
    for sql in broken {
        assert_eq!(town.execute(sql, [a.0.into()]).await, 1);
        let fault = town.service.me(&town.ctx, a).await.expect_err(sql);
        assert!(matches!(fault.code, Code::Internal | Code::NotFound), "{sql}");
        let back = "UPDATE member SET name = $1, data_key_id = $2 WHERE id = $3";
        town.execute(back, [name.clone().into(), key.into(), a.0.into()]).await;
        town.service.me(&town.ctx, a).await.expect("whole again");
    }
}

#[tokio::test]
async fn without_the_data_key_a_member_is_unreadable() {
    let town = Town::new().await;
    town.buyer("a@x.example", "01011112222").await;
    let login = town.login("a@x.example", PASSWORD).await.expect("logged in");
    let a = town.claims(&login.access_token).await.expect("genuine").sub;
    assert_eq!(town.execute("DELETE FROM data_key WHERE member_id = $1", [a.0.into()]).await, 1);
    assert_eq!(town.service.me(&town.ctx, a).await.expect_err("shredded").code, Code::NotFound);
    assert!(town.service.mailbox(&town.ctx, ()).await.expect("mailbox").is_empty());
    assert_eq!(town.login("a@x.example", PASSWORD).await.expect_err("shredded").code, Code::BadCredentials);
}

#[tokio::test]
async fn another_master_key_is_noticed_at_the_start() {
    let town = Town::new().await;
    let deps = Deps {
        db: town.db.clone(),
        kv: town.kv.clone(),
        clock: Arc::new(town.clock.clone()),
        ids: Arc::new(SystemIds),
        settings: Settings::default(),
        master_key: MasterKey::from_hex(&"a5".repeat(32)).expect("key"),
    };
    let fault = Service::start(deps).await.err().expect("refused");
    assert!(fault.context.expect("why").contains("master key"));
    assert!(town.clock.now().0 > 0);
}
