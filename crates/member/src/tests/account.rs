//! Sign-up, verification, own data.

use std::time::{Duration, Instant};

use contract::member::{Member as _, ResendVerification};
use kit::id::MemberId;
use kit::{Code, Ids as _, Lang, Personal, Role, Secret, SystemIds};

use super::{PASSWORD, Town, buyer, field, seller, token_in};
use crate::settings::HOUR_MS;

async fn resend(town: &Town, email: &str) {
    let request = ResendVerification { email: Personal::new(email) };
    town.service.resend_verification(&town.ctx, request).await.expect("answered");
}

#[tokio::test]
async fn a_member_signs_up_verifies_and_reads_their_own_data() {
    let town = Town::new().await;
    town.service.sign_up(&town.ctx, seller(" Shop@Example.com", "010-9876-5432")).await.expect("signed up");
    let before = town.login("shop@example.com", PASSWORD).await.expect("may log in before verifying");
    assert!(!town.claims(&before.access_token).await.expect("genuine").ver);
    town.verify(&town.token_for("shop@example.com").await).await.expect("verified");

    let tokens = town.login("SHOP@example.com ", PASSWORD).await.expect("logged in");
    let claims = town.claims(&tokens.access_token).await.expect("genuine");
    assert!(claims.ver && claims.role == Role::Seller && claims.exp - claims.iat == 600);
    let me = town.service.me(&town.ctx, claims.sub).await.expect("me");
    assert_eq!(me.email.expose(), "shop@example.com");
    assert_eq!(me.name.expose(), "이상인");
    assert_eq!(me.phone.expect("phone").expose(), "01098765432");
    assert_eq!(me.business_name.as_deref(), Some("장터상회"));
    assert!(me.email_verified);
    let nobody = MemberId(SystemIds.next());
    assert_eq!(town.service.me(&town.ctx, nobody).await.expect_err("nobody").code, Code::NotFound);
}

#[tokio::test]
async fn a_verification_token_works_once_until_it_is_replaced_or_expires() {
    let town = Town::new().await;
    town.sign_up("a@x.example", "01011112222").await.expect("signed up");
    let replaced = town.token_for("a@x.example").await;
    resend(&town, "a@x.example").await;
    let expired = town.token_for("a@x.example").await;
    assert_ne!(replaced, expired);
    assert_eq!(town.verify(&replaced).await.expect_err("replaced").code, Code::BadVerificationToken);
    town.clock.advance_ms(24 * HOUR_MS);
    assert_eq!(town.verify(&expired).await.expect_err("expired").code, Code::BadVerificationToken);
    resend(&town, "a@x.example").await;
    let good = town.token_for("a@x.example").await;
    town.verify(&good).await.expect("verified");
    for bad in [good.as_str(), "", "x", &"A".repeat(43)] {
        assert_eq!(town.verify(bad).await.expect_err("used or garbage").code, Code::BadVerificationToken);
    }
}

#[tokio::test]
async fn an_address_gets_five_mails_an_hour() {
    let town = Town::new().await;
    town.sign_up("a@x.example", "01011112222").await.expect("signed up");
    for _ in 0..6 {
        resend(&town, "a@x.example").await;
    }
    // To a taken address as well: they count together.
    town.sign_up("a@x.example", "01011112223").await.expect("answered alike");
    assert_eq!(town.mails_to("a@x.example").await.len(), 5);
    // The last one that was sent still works.
    let last = town.token_for("a@x.example").await;
    town.clock.advance_ms(HOUR_MS);
    resend(&town, "a@x.example").await;
    assert_eq!(town.mails_to("a@x.example").await.len(), 6);
    assert_eq!(town.verify(&last).await.expect_err("replaced").code, Code::BadVerificationToken);
    town.verify(&town.token_for("a@x.example").await).await.expect("verified");
    resend(&town, "a@x.example").await;
    assert_eq!(town.mails_to("a@x.example").await.len(), 6, "a verified address gets none");
}

#[tokio::test]
async fn a_taken_email_is_answered_alike_and_its_owner_told() {
    let town = Town::new().await;
    town.buyer("kim@x.example", "01011112222").await;
    let owner = town.login("kim@x.example", PASSWORD).await.expect("owner");
    let owner = town.claims(&owner.access_token).await.expect("genuine").sub;
    let hashed = town.service.hasher.runs();
    let started = Instant::now();
    town.service.sign_up(&town.ctx, seller("KIM@x.example", "01033334444")).await.expect("answered alike");
    assert_eq!(town.service.hasher.runs() - hashed, 1, "a taken address costs the same work");
    assert!(started.elapsed() >= Duration::from_millis(150));
    let mails = town.mails_to("kim@x.example").await;
    assert!(mails.len() == 2 && mails[0].contains("이미 가입된") && !mails[0].contains("token"));
    let me = town.service.me(&town.ctx, owner).await.expect("me");
    assert!(me.role == Role::Buyer && me.phone.expect("phone").expose() == "01011112222", "nothing changed");
    assert_eq!(town.count("SELECT count(*) FROM member").await, 1);
}

#[tokio::test]
async fn a_taken_phone_is_refused_whether_or_not_the_email_is_taken() {
    let town = Town::new().await;
    town.sign_up("a@x.example", "010-1111-2222").await.expect("signed up");
    for email in ["b@x.example", "a@x.example"] {
        let started = Instant::now();
        let fault = town.sign_up(email, "+82 10 1111 2222").await.expect_err("taken");
        assert_eq!(field(&fault), ("/phone", "taken"), "{email}");
        assert!(started.elapsed() >= Duration::from_millis(150), "{email}");
    }
    assert_eq!(town.count("SELECT count(*) FROM member").await, 1, "a refused sign-up leaves nothing");
    assert_eq!(town.count("SELECT count(*) FROM mail").await, 1);
}

/// Two sign-ups, one with the address in question and one with a fresh one and the same phone, must not tell either.
#[tokio::test]
async fn the_phone_does_not_tell_whether_an_email_is_taken() {
    let town = Town::new().await;
    town.sign_up("taken@x.example", "01011112222").await.expect("signed up");
    for (email, phone) in [("taken@x.example", "01055550001"), ("free@x.example", "01055550002")] {
        town.sign_up(email, phone).await.expect("answered alike");
        let second = town.sign_up(&format!("probe-{email}"), phone).await.expect_err("answered alike");
        assert_eq!(field(&second), ("/phone", "taken"), "{email}");
    }
}

#[tokio::test]
async fn resending_answers_alike_and_as_late_for_unknown_addresses() {
    let town = Town::new().await;
    town.sign_up("a@x.example", "01011112222").await.expect("signed up");
    for email in ["a@x.example", "nobody@x.example"] {
        let started = Instant::now();
        resend(&town, email).await;
        assert!(started.elapsed() >= Duration::from_millis(150), "{email}");
    }
    assert!(town.mails_to("nobody@x.example").await.is_empty());
}

#[tokio::test]
async fn bad_bodies_are_field_errors_and_leave_nothing() {
    let town = Town::new().await;
    let with = |change: &dyn Fn(&mut contract::member::SignUpBuyer)| {
        let contract::member::SignUp::Buyer(mut body) = buyer("kim@x.example", "01011112222") else {
            unreachable!("a buyer's door");
        };
        change(&mut body);
        contract::member::SignUp::Buyer(body)
    };
    let cases = [
        (with(&|b| b.email = Personal::new("nobody")), "/email", "invalid"),
        (with(&|b| b.phone = Personal::new("02-123-4567")), "/phone", "invalid"),
        (with(&|b| b.name = Personal::new("  ")), "/name", "invalid"),
        (with(&|b| b.password = Secret::new("short")), "/password", "invalid"),
        (with(&|b| b.password = Secret::new("password123")), "/password", "too_common"),
        (with(&|b| b.password = Secret::new("my name is Kim!")), "/password", "contains_email"),
    ];
    for (request, pointer, reason) in cases {
        let fault = town.service.sign_up(&town.ctx, request).await.expect_err(pointer);
        assert_eq!((fault.code, field(&fault)), (Code::InvalidFields, (pointer, reason)));
    }
    assert_eq!(town.count("SELECT count(*) FROM member").await, 0);
    assert_eq!(town.count("SELECT count(*) FROM phone_claim").await, 0);
}

#[tokio::test]
async fn mails_speak_the_language_of_the_request() {
    let mut town = Town::new().await;
    town.ctx.lang = Lang::En;
    town.sign_up("en@x.example", "01011112222").await.expect("signed up");
    let text = town.mails_to("en@x.example").await.remove(0);
    assert!(text.contains("Welcome") && text.contains("http://127.0.0.1:8080/verify?token="));
    assert!(text.contains(&format!("Verification token: {}", token_in(&text))));
}

#[tokio::test]
async fn ten_sign_ups_with_one_email_and_one_phone_make_one_member() {
    let town = std::sync::Arc::new(Town::new().await);
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let town = town.clone();
        tries.spawn(async move { town.sign_up("a@x.example", "01011112222").await });
    }
    let outcomes = tries.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(town.count("SELECT count(*) FROM member").await, 1);
}
