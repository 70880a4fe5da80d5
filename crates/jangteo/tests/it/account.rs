//! Sign-up, verification, sessions, the own account, the published keys.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contract::member::{Mail, Me, Tokens};
use futures_util::future::join_all;
use http::Method;
use kit::{Role, Secret};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::actor::{Actor, Line};
use crate::app::{App, Column};
use crate::client::Reply;

every_column!(
    a_buyer_signs_up_verifies_logs_in_and_buys,
    a_seller_has_a_door_of_their_own,
    the_role_comes_from_the_door,
    a_new_link_replaces_the_old_one,
    five_mails_an_hour_are_enough,
    a_link_lives_for_a_day,
    the_link_in_the_mail_leads_to_a_page,
    whether_an_address_is_taken_is_not_told,
    a_phone_belongs_to_one_member,
    weak_passwords_are_refused,
    a_wrong_password_and_an_unknown_address_look_alike,
    refresh_tokens_rotate,
    a_stolen_refresh_token_ends_the_session,
    refreshing_at_once_from_two_tabs_harms_nobody,
    logging_out_holds_from_the_next_request_on,
    logging_out_everywhere_ends_every_session,
    the_keys_are_published,
    tokens_that_were_tampered_with_are_refused,
);
every_bare_column!(
    access_tokens_live_ten_minutes_and_sessions_two_weeks,
    sessions_and_their_ends_survive_a_restart,
    guessing_is_slowed,
    rates_are_limited_and_said,
);

const PASSWORD: &str = "correct horse battery";

#[derive(Deserialize)]
struct Mailbox {
    items: Vec<Mail>,
}

impl App {
    /// Mails to `email`, newest first.
    async fn mails(&self, email: &str) -> Vec<Mail> {
        let reply = self.anon().get("/dev/mail").header("accept", "application/json").send().await;
        let mails = reply.expect(200).get::<Mailbox>().items;
        mails.into_iter().filter(|mail| mail.to.expose() == email).collect()
    }

    /// The token in the newest mail to `email`, which is the `count`th.
    pub async fn mailed_token(&self, email: &str, count: usize) -> String {
        self.eventually("the mail comes", async || self.mails(email).await.len() >= count).await;
        let mails = self.mails(email).await;
        assert_eq!(mails.len(), count);
        let text = mails[0].text.expose();
        let token = text.split_once("token=").expect("a link").1;
        token.split_whitespace().next().expect("a token").to_owned()
    }

    async fn sign_up_buyer(&self, email: &str, phone: &str) -> Reply {
        self.anon().post("/v1/buyers", &buyer_body(email, phone)).send().await
    }

    async fn verify(&self, token: &str) -> Reply {
        self.anon().post("/v1/verification", &json!({"token": token})).send().await
    }

    async fn resend(&self, email: &str) {
        let asked = self.anon().post("/v1/verification/resend", &json!({"email": email})).send().await;
        assert!(asked.expect(202).body.is_empty());
    }

    async fn refresh(&self, token: &Secret) -> Reply {
        let body = json!({"refresh_token": token.expose()});
        self.anon().post("/v1/sessions/refresh", &body).send().await
    }

    /// A member who signed up and did not verify, signed in.
    pub async fn unverified(&self, role: Role) -> Actor {
        let number = self.number();
        let (email, phone) = (format!("new-{number}@example.com"), format!("010-7777-{number:04}"));
        let mut body = buyer_body(&email, &phone);
        let door = match role {
            Role::Buyer => "/v1/buyers",
            Role::Seller => "/v1/sellers",
            Role::Admin => panic!("there is no such door"),
        };
        if role == Role::Seller {
            body["business_name"] = "장터상회".into();
        }
        self.anon().post(door, &body).send().await.expect(202);
        let tokens = self.anon().log_in(&email, PASSWORD).await;
        self.of(&tokens).await
    }

    /// The member whose tokens these are.
    async fn of(&self, tokens: &Tokens) -> Actor {
        let token = tokens.access_token.expose();
        let me = self.ask(Method::GET, "/v1/me").token(token).send().await.expect(200).get::<Me>();
        Actor::signed_in(self.http(), me.id, token)
    }
}

fn buyer_body(email: &str, phone: &str) -> Value {
    json!({"email": email, "password": PASSWORD, "name": "김장터", "phone": phone})
}

async fn a_buyer_signs_up_verifies_logs_in_and_buys(app: &App) {
    let shelf = app.shelf(5, 1_000).await;
    let signed_up = app.sign_up_buyer("Kim@Example.com", "010-1234-5678").await.expect(202);
    assert!(signed_up.body.is_empty(), "nothing is told, least of all the token");
    let token = app.mailed_token("kim@example.com", 1).await;

    let early = app.anon().log_in("kim@example.com", PASSWORD).await;
    assert_eq!(early.expires_in, 86_400);
    let unverified = app.of(&early).await;
    let me: Me = unverified.get("/v1/me").send().await.expect(200).get();
    assert_eq!((me.role, me.email_verified), (Role::Buyer, false));
    assert_eq!((me.email.expose(), me.name.expose()), ("kim@example.com", "김장터"));
    assert_eq!(me.phone.expect("phone").expose(), "01012345678");
    unverified.buy("k", &shelf, 1).await.refused(403, "email_not_verified");

    app.verify(&token).await.expect(204);
    app.verify(&token).await.refused(422, "bad_verification_token");
    let tokens: Tokens = app.refresh(&early.refresh_token).await.expect(200).get();
    let buyer = app.of(&tokens).await;
    assert!(buyer.get("/v1/me").send().await.expect(200).get::<Me>().email_verified);
    app.credit(buyer.id, 1_000).await;
    let order = buyer.hold("k", &shelf, 1).await.order_id;
    buyer.payment("p", order).send().await.expect(200);
}

async fn a_seller_has_a_door_of_their_own(app: &App) {
    let mut body = buyer_body("shop@example.com", "01098765432");
    app.anon().post("/v1/sellers", &body).send().await.refused(400, "bad_json");
    body["business_name"] = "장터상회".into();
    app.anon().post("/v1/sellers", &body).send().await.expect(202);
    let token = app.mailed_token("shop@example.com", 1).await;
    app.verify(&token).await.expect(204);
    let seller = app.of(&app.anon().log_in("shop@example.com", PASSWORD).await).await;
    let me: Me = seller.get("/v1/me").send().await.expect(200).get();
    assert_eq!((me.role, me.business_name.as_deref()), (Role::Seller, Some("장터상회")));
    seller.open_store("장터상회").await;
}

async fn the_role_comes_from_the_door(app: &App) {
    for field in ["role", "id", "email_verified", "business_name", "disabled_at"] {
        let mut body = buyer_body("kim@example.com", "01012345678");
        body[field] = "admin".into();
        let refused = app.anon().post("/v1/buyers", &body).send().await.refused(400, "bad_json");
        assert_eq!(refused.errors(), [format!("/{field} unknown_field")]);
    }
    app.anon().try_log_in("kim@example.com", PASSWORD).await.refused(401, "bad_credentials");
}

async fn a_new_link_replaces_the_old_one(app: &App) {
    app.sign_up_buyer("kim@example.com", "01012345678").await.expect(202);
    let old = app.mailed_token("kim@example.com", 1).await;
    app.resend("KIM@example.com").await;
    let new = app.mailed_token("kim@example.com", 2).await;
    assert_ne!(old, new);
    app.verify(&old).await.refused(422, "bad_verification_token");
    app.verify(&new).await.expect(204);
    app.resend("kim@example.com").await;
    app.resend("stranger@example.com").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(app.mails("kim@example.com").await.len(), 2, "there is nothing left to verify");
    assert!(app.mails("stranger@example.com").await.is_empty());
    for garbage in ["", "x", &"x".repeat(1_000), "토큰"] {
        app.verify(garbage).await.refused(422, "bad_verification_token");
    }
}

async fn five_mails_an_hour_are_enough(app: &App) {
    app.sign_up_buyer("kim@example.com", "01012345678").await.expect(202);
    for _ in 0..7 {
        app.resend("kim@example.com").await;
    }
    let last = app.mailed_token("kim@example.com", 5).await;
    app.advance(Duration::from_secs(3_601));
    app.resend("kim@example.com").await;
    let next = app.mailed_token("kim@example.com", 6).await;
    app.verify(&last).await.refused(422, "bad_verification_token");
    app.verify(&next).await.expect(204);
}

async fn a_link_lives_for_a_day(app: &App) {
    app.sign_up_buyer("kim@example.com", "01012345678").await.expect(202);
    let token = app.mailed_token("kim@example.com", 1).await;
    app.advance(Duration::from_secs(24 * 3_600 + 1));
    app.verify(&token).await.refused(422, "bad_verification_token");
}

async fn the_link_in_the_mail_leads_to_a_page(app: &App) {
    app.sign_up_buyer("kim@example.com", "01012345678").await.expect(202);
    let token = app.mailed_token("kim@example.com", 1).await;
    let link = app.mails("kim@example.com").await[0].text.expose().to_owned();
    let link = link.split_whitespace().find(|word| word.starts_with("http")).expect("a link").to_owned();
    let path = link.strip_prefix(app.market().url()).expect("a link to this market");
    let asked = app.anon().get(path).send().await.expect(200);
    assert!(String::from_utf8_lossy(&asked.body).contains("method=\"post\""), "looking verifies nothing");
    let tokens = app.anon().log_in("kim@example.com", PASSWORD).await;
    let me = async || app.of(&tokens).await.get("/v1/me").send().await.expect(200).get::<Me>();
    assert!(!me().await.email_verified);
    let press = app.ask(Method::POST, "/verify").raw("application/x-www-form-urlencoded", format!("token={token}"));
    press.send().await.expect(200);
    assert!(me().await.email_verified);
    press.send().await.expect(422);
    for (kind, body) in [
        ("application/x-www-form-urlencoded", "token=x&token=y".to_owned()),
        ("application/x-www-form-urlencoded", "surprise=1".to_owned()),
        ("application/x-www-form-urlencoded", format!("token={}", "x".repeat(60_000))),
        ("application/json", json!({"token": token}).to_string()),
    ] {
        let refused = app.ask(Method::POST, "/verify").raw(kind, body).send().await;
        assert!(matches!(refused.status, 400 | 415 | 422), "{refused:?}");
    }
    let large = format!("token={}", "x".repeat(65_536));
    let large = app.ask(Method::POST, "/verify").raw("application/x-www-form-urlencoded", large).send().await;
    large.refused(413, "body_too_large");
}

async fn whether_an_address_is_taken_is_not_told(app: &App) {
    let new = app.sign_up_buyer("kim@example.com", "01012345678").await.expect(202);
    let mut body = buyer_body("KIM@EXAMPLE.COM", "01087654321");
    body["password"] = "another horse battery".into();
    let taken = app.anon().post("/v1/buyers", &body).send().await.expect(202);
    assert_eq!(taken.body, new.body);
    app.eventually("the owner is told", async || app.mails("kim@example.com").await.len() == 2).await;
    let told = &app.mails("kim@example.com").await[0];
    assert!(!told.text.expose().contains("token="), "no link to somebody else's account");
    app.anon().try_log_in("kim@example.com", "another horse battery").await.refused(401, "bad_credentials");
    app.anon().log_in("kim@example.com", PASSWORD).await;
}

async fn a_phone_belongs_to_one_member(app: &App) {
    app.sign_up_buyer("kim@example.com", "010-1234-5678").await.expect(202);
    let taken = app.sign_up_buyer("lee@example.com", "+82 10 1234 5678").await.refused(422, "invalid_fields");
    assert_eq!(taken.errors(), ["/phone taken"]);
    app.anon().try_log_in("lee@example.com", PASSWORD).await.refused(401, "bad_credentials");
    let emails: Vec<String> = (0..4).map(|n| format!("twin-{n}@example.com")).collect();
    let twins = join_all(emails.iter().map(|email| app.sign_up_buyer(email, "01055556666"))).await;
    assert_eq!(twins.iter().filter(|reply| reply.status == 202).count(), 1, "{twins:?}");
}

async fn weak_passwords_are_refused(app: &App) {
    for (password, reason) in [
        ("1234567", "invalid"),
        (&*"x".repeat(129), "invalid"),
        ("password1", "too_common"),
        ("my-kimjangteo-secret", "contains_email"),
    ] {
        let mut body = buyer_body("kimjangteo@example.com", "01012345678");
        body["password"] = password.into();
        let refused = app.anon().post("/v1/buyers", &body).send().await.refused(422, "invalid_fields");
        assert_eq!(refused.errors(), [format!("/password {reason}")], "{password}");
        assert!(!String::from_utf8_lossy(&refused.body).contains(password));
    }
    let mut body = buyer_body("lee@example.com", "01012345678");
    body["password"] = "비밀번호는여덟자이상".into();
    app.anon().post("/v1/buyers", &body).send().await.expect(202);
}

async fn a_wrong_password_and_an_unknown_address_look_alike(app: &App) {
    let (_, email) = app.with_password(Role::Buyer, PASSWORD).await;
    let without = |reply: Reply| {
        let mut value = reply.refused(401, "bad_credentials").value();
        value["request_id"] = Value::Null;
        value
    };
    let wrong = without(app.anon().try_log_in(&email, "wrong horse battery").await);
    let unknown = without(app.anon().try_log_in("nobody@example.com", PASSWORD).await);
    let no_address = without(app.anon().try_log_in("no address", PASSWORD).await);
    assert_eq!((&wrong, &wrong), (&unknown, &no_address));
    app.anon().log_in(&email.to_uppercase(), PASSWORD).await;
}

async fn refresh_tokens_rotate(app: &App) {
    let (_, email) = app.with_password(Role::Buyer, PASSWORD).await;
    let mut tokens = app.anon().log_in(&email, PASSWORD).await;
    for _ in 0..3 {
        let next: Tokens = app.refresh(&tokens.refresh_token).await.expect(200).get();
        assert_ne!(next.refresh_token, tokens.refresh_token);
        tokens = next;
        app.advance(Duration::from_secs(30));
    }
    app.of(&tokens).await;
    for garbage in ["", "x", tokens.access_token.expose()] {
        app.refresh(&Secret::new(garbage)).await.refused(401, "bad_refresh_token");
    }
    app.refresh(&tokens.refresh_token).await.expect(200);
}

async fn a_stolen_refresh_token_ends_the_session(app: &App) {
    let (_, email) = app.with_password(Role::Buyer, PASSWORD).await;
    let first = app.anon().log_in(&email, PASSWORD).await;
    let elsewhere = app.of(&app.anon().log_in(&email, PASSWORD).await).await;
    let second: Tokens = app.refresh(&first.refresh_token).await.expect(200).get();
    // Within the grace: a retry of an answer that was lost.
    app.advance(Duration::from_secs(9));
    let retried: Tokens = app.refresh(&first.refresh_token).await.expect(200).get();
    assert_eq!(retried.refresh_token, second.refresh_token);
    let owner = app.of(&second).await;
    app.advance(Duration::from_secs(2));
    app.refresh(&first.refresh_token).await.refused(401, "bad_refresh_token");
    app.refresh(&second.refresh_token).await.refused(401, "bad_refresh_token");
    owner.get("/v1/me").send().await.refused(401, "unauthenticated");
    elsewhere.get("/v1/me").send().await.expect(200);
}

async fn refreshing_at_once_from_two_tabs_harms_nobody(app: &App) {
    let (_, email) = app.with_password(Role::Buyer, PASSWORD).await;
    let tokens = app.anon().log_in(&email, PASSWORD).await;
    let replies = join_all((0..5).map(|_| app.refresh(&tokens.refresh_token))).await;
    let first: Tokens = replies[0].get();
    for reply in &replies {
        let next: Tokens = reply.clone().expect(200).get();
        assert_eq!(next.refresh_token, first.refresh_token, "one line, not five");
    }
    app.refresh(&first.refresh_token).await.expect(200);
}

async fn logging_out_holds_from_the_next_request_on(app: &App) {
    let (_, email) = app.with_password(Role::Buyer, PASSWORD).await;
    let here = app.anon().log_in(&email, PASSWORD).await;
    let there = app.of(&app.anon().log_in(&email, PASSWORD).await).await;
    let actor = app.of(&here).await;
    actor.delete("/v1/sessions/current").send().await.expect(204);
    actor.get("/v1/me").send().await.refused(401, "unauthenticated");
    actor.delete("/v1/sessions/current").send().await.refused(401, "unauthenticated");
    actor.get(&format!("/v1/items/{}", actor.id)).send().await.refused(401, "unauthenticated");
    app.refresh(&here.refresh_token).await.refused(401, "bad_refresh_token");
    there.get("/v1/me").send().await.expect(200);
}

async fn logging_out_everywhere_ends_every_session(app: &App) {
    let (enrolled, email) = app.with_password(Role::Seller, PASSWORD).await;
    let (other, _) = app.with_password(Role::Seller, PASSWORD).await;
    let tokens = app.anon().log_in(&email, PASSWORD).await;
    let actor = app.of(&tokens).await;
    actor.delete("/v1/sessions").send().await.expect(204);
    for ended in [&actor, &enrolled] {
        ended.get("/v1/me").send().await.refused(401, "unauthenticated");
    }
    app.refresh(&tokens.refresh_token).await.refused(401, "bad_refresh_token");
    other.get("/v1/me").send().await.expect(200);
    app.of(&app.anon().log_in(&email, PASSWORD).await).await;
}

async fn access_tokens_live_ten_minutes_and_sessions_two_weeks(column: Column) {
    let app = App::with(&column, |config| config.member.access_minutes = 10).await;
    let (_, email) = app.with_password(Role::Buyer, PASSWORD).await;
    let tokens = app.anon().log_in(&email, PASSWORD).await;
    assert_eq!(tokens.expires_in, 600);
    let actor = app.of(&tokens).await;
    app.advance(Duration::from_secs(590));
    actor.get("/v1/me").send().await.expect(200);
    app.advance(Duration::from_secs(70));
    actor.get("/v1/me").send().await.refused(401, "token_expired");
    let next: Tokens = app.refresh(&tokens.refresh_token).await.expect(200).get();
    app.of(&next).await;
    app.advance(Duration::from_secs(13 * 86_400));
    let next: Tokens = app.refresh(&next.refresh_token).await.expect(200).get();
    app.advance(Duration::from_secs(14 * 86_400 + 60));
    app.refresh(&next.refresh_token).await.refused(401, "bad_refresh_token");
    app.close().await;
}

async fn sessions_and_their_ends_survive_a_restart(column: Column) {
    let mut app = App::start(&column).await;
    let (_, email) = app.with_password(Role::Buyer, PASSWORD).await;
    let ended = app.of(&app.anon().log_in(&email, PASSWORD).await).await;
    let alive = app.anon().log_in(&email, PASSWORD).await;
    ended.delete("/v1/sessions/current").send().await.expect(204);
    app.stop().await;
    app.reopen().await;
    ended.at(app.http()).get("/v1/me").send().await.refused(401, "unauthenticated");
    app.of(&alive).await.get("/v1/me").send().await.expect(200);
    app.refresh(&alive.refresh_token).await.expect(200);
    app.close().await;
}

async fn guessing_is_slowed(column: Column) {
    let app = App::with(&column, |config| config.limits.rate_limits = true).await;
    let (_, email) = app.with_password(Role::Buyer, PASSWORD).await;
    let mut codes = Vec::new();
    for n in 0..12 {
        let reply = app.anon().try_log_in(&email, &format!("guess number {n}")).await;
        codes.push(reply.code());
    }
    assert_eq!(codes[0], "bad_credentials");
    assert!(codes.iter().any(|code| code == "rate_limited"), "{codes:?}");
    app.close().await;
}

async fn rates_are_limited_and_said(column: Column) {
    let app = App::with(&column, |config| {
        config.limits.rate_limits = true;
        (config.limits.sign_in_burst, config.limits.sign_in_per_minute) = (3, 6);
        (config.limits.member_burst, config.limits.member_per_minute) = (5, 30);
    })
    .await;
    let buyer = app.buyer().await;
    let door = async || app.anon().try_log_in("nobody@example.com", PASSWORD).await;
    let first = door().await.refused(401, "bad_credentials");
    assert_eq!(first.header("ratelimit-policy"), Some("\"sign_in\";q=3;w=30"));
    assert!(first.header("ratelimit").is_some_and(|text| text.starts_with("\"sign_in\";r=2;")));
    for _ in 0..2 {
        door().await.refused(401, "bad_credentials");
    }
    let refused = door().await.refused(429, "rate_limited");
    let wait: u32 = refused.header("retry-after").expect("header").parse().expect("seconds");
    assert!((1..=10).contains(&wait), "{wait}");
    for _ in 0..5 {
        buyer.get("/v1/me").send().await.expect(200);
    }
    buyer.get("/v1/me").send().await.refused(429, "rate_limited");
    app.buyer().await.get("/v1/me").send().await.expect(200);
    app.anon().get("/v1/items").send().await.expect(200);
    app.close().await;
}

async fn the_keys_are_published(app: &App) {
    let reply = app.anon().get("/.well-known/jwks.json").send().await.expect(200);
    assert_eq!(reply.header("cache-control"), Some("public, max-age=60"));
    let keys = reply.value();
    let keys = keys["keys"].as_array().expect("keys");
    assert_eq!(keys.len(), 1);
    assert_eq!(
        (&keys[0]["kty"], &keys[0]["crv"], &keys[0]["alg"]),
        (&json!("OKP"), &json!("Ed25519"), &json!("EdDSA"))
    );
    assert!(keys[0].get("d").is_none(), "the private half is nobody's business");
    let head = part(app.buyer().await.token(), 0);
    assert_eq!((&head["kid"], &head["alg"]), (&keys[0]["kid"], &json!("EdDSA")));
}

async fn tokens_that_were_tampered_with_are_refused(app: &App) {
    let (buyer, other) = (app.buyer().await, app.buyer().await);
    let shelf = app.shelf(1, 1_000).await;
    let parts: Vec<&str> = buyer.token().split('.').collect();
    let (head, claims, signature) = (parts[0], parts[1], parts[2]);
    let with = |index: usize, name: &str, value: Value| {
        let mut json = part(buyer.token(), index);
        json[name] = value;
        URL_SAFE_NO_PAD.encode(json.to_string())
    };
    let admin = with(1, "role", json!("admin"));
    let none = with(0, "alg", json!("none"));
    let hmac = with(0, "alg", json!("HS256"));
    let stolen_signature = other.token().rsplit('.').next().expect("signature");
    for forged in [
        format!("{head}.{admin}.{signature}"),
        format!("{none}.{admin}."),
        format!("{none}.{claims}.{signature}"),
        format!("{hmac}.{claims}.{signature}"),
        format!("{}.{claims}.{signature}", with(0, "kid", json!("../../etc/passwd"))),
        format!("{}.{claims}.{signature}", with(0, "jku", json!("https://evil.example/keys"))),
        format!("{head}.{}.{signature}", with(1, "exp", json!(4_102_444_800_i64))),
        format!("{head}.{}.{signature}", with(1, "sub", json!(other.id))),
        format!("{head}.{claims}.{stolen_signature}"),
        format!("{head}.{claims}"),
        format!("{head}.{claims}."),
        format!("{}x", buyer.token()),
        "x".into(),
        "..".into(),
    ] {
        let forger = Actor::signed_in(app.http(), buyer.id, &forged);
        forger.get("/v1/me").send().await.refused(401, "unauthenticated");
        forger.post("/v1/categories", &json!({"name": "x"})).send().await.refused(401, "unauthenticated");
        let order = forger.order("k", &[Line::of(shelf.option, 1)], 1_000);
        order.send().await.refused(401, "unauthenticated");
        forger.get(&format!("/v1/items/{}", shelf.item.id)).send().await.refused(401, "unauthenticated");
    }
    let me = app.ask(Method::GET, "/v1/me");
    for header in [format!("Basic {}", buyer.token()), buyer.token().to_owned(), "Bearer".into(), "Bearer ".into()] {
        me.clone().header("authorization", &header).send().await.refused(401, "unauthenticated");
    }
    let in_query = format!("/v1/me?access_token={}", buyer.token());
    app.ask(Method::GET, &in_query).send().await.refused(401, "unauthenticated");
    me.header("authorization", &format!("bearer {}", buyer.token())).send().await.expect(200);
    let challenge = app.anon().get("/v1/me").send().await.refused(401, "unauthenticated");
    assert!(challenge.header("www-authenticate").is_some_and(|text| text.starts_with("Bearer")));
}

/// One of the first two parts of a token.
fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("part");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")
}
