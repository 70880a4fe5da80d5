//! Sign-in, rotation, sign-out.

use std::sync::Arc;

use contract::member::{Member as _, Refresh, SessionRef, Tokens, revoked_key};
use kit::{Code, Result, Secret};

use super::{PASSWORD, Town};
use crate::store;

async fn refresh(town: &Town, token: &Secret) -> Result<Tokens> {
    town.service.refresh(&town.ctx, Refresh { refresh_token: token.clone() }).await
}

async fn town_with_buyer() -> (Town, Tokens) {
    let town = Town::new().await;
    town.buyer("kim@x.example", "01011112222").await;
    let tokens = town.login("kim@x.example", PASSWORD).await.expect("logged in");
    (town, tokens)
}

async fn session_of(town: &Town, tokens: &Tokens) -> SessionRef {
    let claims = town.claims(&tokens.access_token).await.expect("genuine");
    SessionRef { member: claims.sub, session: claims.sid }
}

async fn is_revoked(kv: &kv::Shared, session: SessionRef) -> bool {
    kv.get(&revoked_key(session.session)).await.expect("kv").is_some()
}

#[tokio::test]
async fn unknown_email_and_wrong_password_are_told_alike_and_cost_the_same() {
    let (town, _) = town_with_buyer().await;
    for (email, password) in [("kim@x.example", "wrong password"), ("nobody@x.example", PASSWORD), ("", "")] {
        let hashed = town.service.hasher.runs();
        let fault = town.login(email, password).await.expect_err("refused");
        assert_eq!(fault.code, Code::BadCredentials);
        assert!(fault.fields.is_empty() && fault.facts.is_none() && fault.context.is_none());
        assert_eq!(town.service.hasher.runs() - hashed, 1, "{email:?}");
    }
}

#[tokio::test]
async fn a_disabled_member_cannot_log_in_or_refresh() {
    let (town, tokens) = town_with_buyer().await;
    town.execute("UPDATE member SET disabled_at_ms = 1", []).await;
    let hashed = town.service.hasher.runs();
    assert_eq!(town.login("kim@x.example", PASSWORD).await.expect_err("disabled").code, Code::BadCredentials);
    assert_eq!(town.service.hasher.runs() - hashed, 1);
    assert_eq!(refresh(&town, &tokens.refresh_token).await.expect_err("disabled").code, Code::BadRefreshToken);
}

#[tokio::test]
async fn guessing_is_slowed() {
    let (town, _) = town_with_buyer().await;
    let mut slowed = None;
    for n in 0..12 {
        let outcome = town.login_from("kim@x.example", "wrong password", &format!("198.51.100.{n}")).await;
        slowed = outcome.err().filter(|fault| fault.code == Code::RateLimited);
    }
    assert!(slowed.expect("slowed").retry_after_s.is_some());
    town.login("kim@x.example", PASSWORD).await.expect("the owner at home is not locked out");
}

#[tokio::test]
async fn a_weak_hash_is_made_anew_at_login() {
    let (town, _) = town_with_buyer().await;
    let weak = {
        use argon2::PasswordHasher as _;
        let params = argon2::Params::new(4_096, 1, 1, None).expect("params");
        let argon = argon2::Argon2::from(params);
        argon.hash_password_with_salt(PASSWORD.as_bytes(), &[3; 16]).expect("hash").to_string()
    };
    town.execute("UPDATE member SET password_hash = $1", [weak.into()]).await;
    town.login("kim@x.example", PASSWORD).await.expect("logged in");
    assert_eq!(town.count("SELECT count(*) FROM member WHERE password_hash LIKE '%m=19456,t=2,p=1%'").await, 1);
    town.login("kim@x.example", PASSWORD).await.expect("logged in");
}

#[tokio::test]
async fn refreshing_rotates_within_one_session() {
    let (town, first) = town_with_buyer().await;
    let session = session_of(&town, &first).await;
    let mut tokens = first.clone();
    for _ in 0..3 {
        town.clock.advance_ms(60_000);
        let next = refresh(&town, &tokens.refresh_token).await.expect("rotated");
        assert_ne!(next.refresh_token, tokens.refresh_token);
        assert_eq!(session_of(&town, &next).await.session, session.session);
        tokens = next;
    }
    town.clock.advance_ms(14 * 86_400_000);
    assert_eq!(refresh(&town, &tokens.refresh_token).await.expect_err("expired").code, Code::BadRefreshToken);
    for garbage in ["", "x", &"A".repeat(43)] {
        let fault = refresh(&town, &Secret::new(garbage)).await.expect_err("garbage");
        assert_eq!(fault.code, Code::BadRefreshToken);
    }
    assert!(!is_revoked(&town.kv, session).await);
}

#[tokio::test]
async fn a_reused_token_kills_the_family() {
    let (town, stolen) = town_with_buyer().await;
    let session = session_of(&town, &stolen).await;
    let owner = refresh(&town, &stolen.refresh_token).await.expect("rotated");
    let owner = refresh(&town, &owner.refresh_token).await.expect("rotated");
    town.clock.advance_ms(10_001);
    assert_eq!(refresh(&town, &stolen.refresh_token).await.expect_err("reuse").code, Code::BadRefreshToken);
    assert_eq!(refresh(&town, &owner.refresh_token).await.expect_err("dead").code, Code::BadRefreshToken);
    assert!(is_revoked(&town.kv, session).await, "access tokens end as well");
    let again = town.login("kim@x.example", PASSWORD).await.expect("other sessions go on");
    assert!(!is_revoked(&town.kv, session_of(&town, &again).await).await);
}

#[tokio::test]
async fn a_refresh_repeated_within_the_grace_gets_the_same_line() {
    let (town, first) = town_with_buyer().await;
    let lost = refresh(&town, &first.refresh_token).await.expect("rotated");
    town.clock.advance_ms(9_000);
    let again = refresh(&town, &first.refresh_token).await.expect("repeated");
    assert_eq!(again.refresh_token, lost.refresh_token, "the family does not branch");
    assert!(town.claims(&again.access_token).await.is_ok());

    // Whoever holds the answers, in whatever order they came, can go on; after two steps also.
    let next = refresh(&town, &again.refresh_token).await.expect("rotated");
    let late = refresh(&town, &first.refresh_token).await.expect("still within the grace of the first");
    assert_eq!(late.refresh_token, next.refresh_token);
    town.clock.advance_ms(600_000);
    let on = refresh(&town, &late.refresh_token).await.expect("goes on");

    // And a thief who came within the grace is found out: both hold the same line.
    town.clock.advance_ms(10_001);
    assert!(refresh(&town, &next.refresh_token).await.is_err());
    assert!(refresh(&town, &on.refresh_token).await.is_err());
}

#[tokio::test]
async fn ten_refreshes_at_once_agree() {
    let (town, first) = town_with_buyer().await;
    let town = Arc::new(town);
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (town, token) = (town.clone(), first.refresh_token.clone());
        tries.spawn(async move { refresh(&town, &token).await });
    }
    let outcomes = tries.join_all().await;
    let first = outcomes[0].as_ref().expect("answered").refresh_token.clone();
    for outcome in outcomes {
        assert_eq!(outcome.expect("answered").refresh_token, first);
    }
    let check = crate::audit(&town.db).await.expect("audit").remove(0);
    assert!(check.breaches.is_empty() && check.looked_at == 1, "{check:?}");
}

#[tokio::test]
async fn logout_ends_one_session_and_logout_all_every_one() {
    let (town, one) = town_with_buyer().await;
    let two = town.login("kim@x.example", PASSWORD).await.expect("logged in");
    let three = town.login("kim@x.example", PASSWORD).await.expect("logged in");
    town.buyer("lee@x.example", "01033334444").await;
    let other = town.login("lee@x.example", PASSWORD).await.expect("logged in");
    let (first, foreign) = (session_of(&town, &one).await, session_of(&town, &other).await);

    for _ in 0..2 {
        town.service.logout(&town.ctx, first).await.expect("ending an ended one is no error");
    }
    assert!(is_revoked(&town.kv, first).await);
    assert!(refresh(&town, &one.refresh_token).await.is_err());
    let two = refresh(&town, &two.refresh_token).await.expect("not touched");

    let not_mine = SessionRef { member: first.member, session: foreign.session };
    town.service.logout(&town.ctx, not_mine).await.expect("says nothing");
    assert!(!is_revoked(&town.kv, foreign).await, "nobody ends a session of another");

    town.service.logout_all(&town.ctx, first.member).await.expect("ended");
    for tokens in [&two, &three] {
        assert!(is_revoked(&town.kv, session_of(&town, tokens).await).await);
        assert!(refresh(&town, &tokens.refresh_token).await.is_err());
    }
    refresh(&town, &other.refresh_token).await.expect("not touched");
}

#[tokio::test]
async fn a_restart_remembers_what_was_revoked_and_how_tokens_were_signed() {
    let (town, one) = town_with_buyer().await;
    let two = town.login("kim@x.example", PASSWORD).await.expect("logged in");
    town.service.logout(&town.ctx, session_of(&town, &one).await).await.expect("ended");
    let (service, kv) = town.restarted().await;
    assert!(is_revoked(&kv, session_of(&town, &one).await).await);
    assert!(!is_revoked(&kv, session_of(&town, &two).await).await);
    let keys = |service: Arc<crate::Service>| async move {
        service.keys(&kit::Ctx::internal(&kit::SystemIds), ()).await.expect("keys").keys
    };
    assert_eq!(keys(service.clone()).await, keys(town.service.clone()).await);
    assert_eq!(service.signer.kid(), town.service.signer.kid());
    service.stop().await;

    // Once no token of it can be alive, there is nothing to remember.
    town.clock.advance_ms(600_001);
    let (service, kv) = town.restarted().await;
    let session = store::session::ended(town.db.read(), (kit::Millis(0), kit::id::SessionId(Default::default())), 9);
    let (_, session) = session.await.expect("ended")[0];
    assert!(kv.get(&revoked_key(session)).await.expect("kv").is_none());
    service.stop().await;
}

#[tokio::test]
async fn what_has_served_its_time_is_forgotten_and_the_rest_is_kept() {
    let (town, old) = town_with_buyer().await;
    town.sign_up("late@x.example", "01033334444").await.expect("signed up");
    town.clock.advance_ms(13 * 86_400_000);
    let fresh = town.login("kim@x.example", PASSWORD).await.expect("logged in");
    town.clock.advance_ms(2 * 86_400_000);
    let keeper = crate::keeper::Keeper::new(town.db.clone(), Arc::new(town.clock.clone()));
    while keeper.step().await.expect("step") > 0 {}
    assert!(refresh(&town, &old.refresh_token).await.is_err());
    assert_eq!(town.count("SELECT count(*) FROM session").await, 1);
    assert_eq!(town.count("SELECT count(*) FROM refresh_token").await, 1);
    assert_eq!(town.count("SELECT count(*) FROM verification").await, 0);
    assert_eq!(town.count("SELECT count(*) FROM mail").await, 0);
    refresh(&town, &fresh.refresh_token).await.expect("kept");
}
