//! Members in bulk.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use contract::member::{Enroll, Member as _, Person};
use kit::{Code, Personal, Role, Secret};

use super::{PASSWORD, Town, field, person};

#[tokio::test]
async fn two_thousand_people_are_enrolled_quickly_with_tokens() {
    let town = Town::new().await;
    let phone = |n: u32| Some(Personal::new(format!("010{n:08}")));
    let people: Vec<Person> =
        (0..2_000).map(|n| Person { phone: phone(n), ..person(&format!("buyer{n}@x.example")) }).collect();
    let request = Enroll { role: Role::Buyer, people, tokens: true };
    let (started, hashed) = (Instant::now(), town.service.hasher.runs());
    let enrolled = town.service.enroll(&town.ctx, request.clone()).await.expect("enrolled");
    // Generous: hashing that many passwords would take a minute and more.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(town.service.hasher.runs(), hashed);
    assert_eq!(enrolled.iter().map(|one| one.id).collect::<HashSet<_>>().len(), 2_000);
    for at in [0, 777, 1_999] {
        let claims = town.claims(enrolled[at].access_token.as_ref().expect("token")).await.expect("genuine");
        assert!(claims.sub == enrolled[at].id && claims.ver && claims.role == Role::Buyer && enrolled[at].created);
        let me = town.service.me(&town.ctx, claims.sub).await.expect("me");
        assert_eq!(me.email.expose(), format!("buyer{at}@x.example"));
        assert_eq!(me.phone.expect("phone").expose(), format!("010{at:08}"));
    }

    let again = town.service.enroll(&town.ctx, request).await.expect("enrolled again");
    for (first, second) in enrolled.iter().zip(&again) {
        assert!(first.id == second.id && !second.created && second.access_token.is_some());
    }
    assert_eq!(town.count("SELECT count(*) FROM member").await, 2_000);
    assert_eq!(town.count("SELECT count(*) FROM data_key").await, 2_000);
    assert_eq!(town.count("SELECT count(*) FROM phone_claim").await, 2_000);
}

#[tokio::test]
async fn those_with_a_password_can_log_in_and_an_existing_member_stays_as_they_are() {
    let town = Town::new().await;
    town.sign_up("kim@x.example", "01011112222").await.expect("signed up");
    let admin = Person { password: Some(Secret::new("the keys of the town")), ..person("ops@x.example") };
    let kim = Person { password: Some(Secret::new("another password")), ..person("KIM@x.example") };
    let people = vec![admin, kim, person("ops@x.example"), person("silent@x.example")];
    let request = Enroll { role: Role::Admin, people, tokens: false };
    let enrolled = town.service.enroll(&town.ctx, request).await.expect("enrolled");
    assert_eq!(enrolled.iter().map(|one| one.created).collect::<Vec<_>>(), [true, false, false, true]);
    assert!(enrolled[0].id == enrolled[2].id && enrolled.iter().all(|one| one.access_token.is_none()));

    let tokens = town.login("ops@x.example", "the keys of the town").await.expect("logged in");
    assert_eq!(town.claims(&tokens.access_token).await.expect("genuine").role, Role::Admin);
    town.login("kim@x.example", PASSWORD).await.expect("the password is still their own");
    let kim = town.service.me(&town.ctx, enrolled[1].id).await.expect("me");
    assert!(kim.role == Role::Buyer && !kim.email_verified);
    assert_eq!(town.login("silent@x.example", "").await.expect_err("no password").code, Code::BadCredentials);
}

#[tokio::test]
async fn one_wrong_person_stops_all() {
    let town = Town::new().await;
    town.sign_up("kim@x.example", "01011112222").await.expect("signed up");
    let phone = |text: &str| Some(Personal::new(text));
    let cases = [
        (Person { phone: phone("010-1111-2222"), ..person("b@x.example") }, "/people/1/phone", "taken"),
        (Person { phone: phone("02-123-4567"), ..person("b@x.example") }, "/people/1/phone", "invalid"),
        (Person { phone: phone("01099998888"), ..person("b@x.example") }, "/people/1/phone", "taken"),
        (person("not an address"), "/people/1/email", "invalid"),
        (
            Person { password: Some(Secret::new("password123")), ..person("b@x.example") },
            "/people/1/password",
            "too_common",
        ),
    ];
    for (wrong, pointer, reason) in cases {
        let right = Person { phone: phone("01099998888"), ..person("right@x.example") };
        let request = Enroll { role: Role::Buyer, people: vec![right, wrong], tokens: true };
        let fault = town.service.enroll(&town.ctx, request).await.expect_err(pointer);
        assert_eq!(field(&fault), (pointer, reason));
    }
    assert_eq!(town.count("SELECT count(*) FROM member").await, 1);
    assert_eq!(town.count("SELECT count(*) FROM session").await, 0);
}

#[tokio::test]
async fn a_disabled_member_gets_no_token() {
    let town = Town::new().await;
    let request = Enroll { role: Role::Buyer, people: vec![person("a@x.example")], tokens: true };
    town.service.enroll(&town.ctx, request.clone()).await.expect("enrolled");
    town.execute("UPDATE member SET disabled_at_ms = 1", []).await;
    let again = town.service.enroll(&town.ctx, request).await.expect("enrolled");
    assert!(again[0].access_token.is_none() && !again[0].created);
}
