//! Mail by a server: a listener in the test speaks as much SMTP as is needed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use contract::member::Member as _;
use kit::Secret;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use super::Town;
use crate::{Mailer, Settings};

/// What the server does with the next mail; accepts it when nothing is said.
enum Next {
    Refuse(&'static str),
    /// Takes the mail and drops the connection before it says so.
    HangUp,
}

#[derive(Clone, Default)]
struct Server {
    got: Arc<Mutex<Vec<String>>>,
    next: Arc<Mutex<VecDeque<Next>>>,
}

impl Server {
    async fn start() -> (Self, Settings) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let url = Secret::new(format!("smtp://{}", listener.local_addr().expect("address")));
        let server = Self::default();
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = serving.clone();
                tokio::spawn(async move { server.speak(stream).await });
            }
        });
        let mail = Mailer::Smtp { url, from: "Jangteo <hello@jangteo.example>".into() };
        (server, Settings { mail, ..Settings::default() })
    }

    /// `None` when the client is gone.
    async fn speak(&self, stream: TcpStream) -> Option<()> {
        let (reader, mut writer) = stream.into_split();
        let mut lines = BufReader::new(reader).lines();
        writer.write_all(b"220 mail.example ready\r\n").await.ok()?;
        while let Some(line) = lines.next_line().await.ok()? {
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let reply = match verb.as_str() {
                "EHLO" | "HELO" => "250 mail.example",
                "MAIL" => self.refusal().await.unwrap_or("250 ok"),
                "DATA" => {
                    writer.write_all(b"354 go on\r\n").await.ok()?;
                    let mut text = String::new();
                    loop {
                        match lines.next_line().await.ok()?? {
                            line if line == "." => break,
                            line => text = text + &line + "\n",
                        }
                    }
                    // As slow as a server is, so that two senders would meet.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    self.got.lock().await.push(text);
                    if let Some(Next::HangUp) = self.next.lock().await.pop_front() {
                        return None;
                    }
                    "250 taken"
                }
                "QUIT" => "221 bye",
                _ => "250 ok",
            };
            writer.write_all(format!("{reply}\r\n").as_bytes()).await.ok()?;
        }
        None
    }

    async fn refusal(&self) -> Option<&'static str> {
        let mut next = self.next.lock().await;
        let &Next::Refuse(reply) = next.front()? else {
            return None;
        };
        next.pop_front();
        Some(reply)
    }

    async fn wait_for(&self, mails: usize) -> Vec<String> {
        for _ in 0..200 {
            let got = self.got.lock().await.clone();
            if got.len() >= mails {
                return got;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{mails} mails did not come");
    }
}

async fn wait_for_state(town: &Town, state: &str, mails: i64) {
    wait_for_count(town, &format!("SELECT count(*) FROM mail WHERE state = '{state}'"), mails).await;
}

async fn wait_for_count(town: &Town, sql: &str, count: i64) {
    for _ in 0..200 {
        if town.count(sql).await == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not {count}: {sql}");
}

/// A header's line without its name.
fn header<'a>(mail: &'a str, name: &str) -> &'a str {
    mail.lines().find_map(|line| line.strip_prefix(name)).expect("header")
}

/// The text of a mail whose body travels as base64.
fn text(mail: &str) -> String {
    use base64::Engine as _;
    let body: String = mail.split("\n\n").nth(1).expect("body").lines().collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(body).expect("base64");
    String::from_utf8(bytes).expect("UTF-8").replace("\r\n", "\n")
}

#[tokio::test]
async fn a_mail_is_sent_once_and_then_forgotten() {
    let (server, settings) = Server::start().await;
    let town = Town::with(settings).await;
    town.sign_up("kim@x.example", "01011112222").await.expect("signed up");
    let mail = server.wait_for(1).await.remove(0);
    assert_eq!(header(&mail, "To: "), "kim@x.example");
    assert!(header(&mail, "From: ").contains("hello@jangteo.example"));
    town.verify(&super::token_in(&text(&mail))).await.expect("the token in the mail works");
    wait_for_state(&town, "sent", 1).await;
    assert_eq!(town.count("SELECT count(*) FROM mail WHERE recipient IS NOT NULL OR body IS NOT NULL").await, 0);
    assert!(town.service.mailbox(&town.ctx, ()).await.expect("mailbox").is_empty(), "the mailbox shows nothing");
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(server.got.lock().await.len(), 1);
    town.service.stop().await;
}

#[tokio::test]
async fn a_server_that_cannot_is_asked_again_later_with_the_same_message() {
    let (server, settings) = Server::start().await;
    let town = Town::with(settings).await;
    server.next.lock().await.extend([Next::Refuse("451 later"), Next::Refuse("535 who are you"), Next::HangUp]);
    town.sign_up("kim@x.example", "01011112222").await.expect("signed up");
    for attempts in 1..=2 {
        wait_for_count(&town, &format!("SELECT count(*) FROM mail WHERE attempts = {attempts}"), 1).await;
        // Past any pause; it is not tried before its time.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(town.count("SELECT attempts FROM mail").await, attempts);
        town.clock.advance_ms(60_000);
    }
    // The server took it and could not say so: the one case in which a mail travels twice.
    let unsure = server.wait_for(1).await.remove(0);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(town.count("SELECT count(*) FROM mail WHERE state = 'queued'").await, 1);
    town.clock.advance_ms(60_000);
    let again = server.wait_for(2).await.remove(1);
    assert_eq!(header(&again, "Message-ID: "), header(&unsure, "Message-ID: "));
    wait_for_state(&town, "sent", 1).await;
    town.service.stop().await;
}

#[tokio::test]
async fn a_refused_recipient_is_given_up() {
    let (server, settings) = Server::start().await;
    let town = Town::with(settings).await;
    server.next.lock().await.push_back(Next::Refuse("550 no such mailbox"));
    town.sign_up("kim@x.example", "01011112222").await.expect("signed up");
    wait_for_state(&town, "given_up", 1).await;
    assert!(server.got.lock().await.is_empty());
    assert_eq!(town.count("SELECT count(*) FROM mail WHERE body IS NOT NULL").await, 0);
    town.service.stop().await;
}

#[tokio::test]
async fn queued_mails_survive_a_restart_and_two_senders_send_each_once() {
    const MAILS: usize = 8;
    let (server, settings) = Server::start().await;
    // No sender runs while these are written.
    let town = Town::with(settings).await;
    town.service.stop().await;
    for n in 0..MAILS {
        town.sign_up(&format!("buyer{n}@x.example"), &format!("0101111222{n}")).await.expect("signed up");
    }
    assert!(server.got.lock().await.is_empty());
    let (one, two) = tokio::join!(town.restarted(), town.restarted());
    wait_for_state(&town, "sent", MAILS as i64).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let mut got: Vec<String> = server.got.lock().await.iter().map(|mail| header(mail, "To: ").to_owned()).collect();
    got.sort();
    assert_eq!(got, (0..MAILS).map(|n| format!("buyer{n}@x.example")).collect::<Vec<_>>());
    one.0.stop().await;
    two.0.stop().await;
}

#[tokio::test]
async fn wrong_mail_settings_are_noticed_at_the_start() {
    let town = Town::new().await;
    for (url, from) in [("not a url", "a@x.example"), ("smtp://127.0.0.1:25", "nobody")] {
        let mail = Mailer::Smtp { url: Secret::new(url), from: from.into() };
        let deps = crate::Deps {
            db: town.db.clone(),
            kv: town.kv.clone(),
            clock: Arc::new(town.clock.clone()),
            ids: Arc::new(kit::SystemIds),
            settings: Settings { mail, ..Settings::default() },
            master_key: crate::MasterKey::from_hex(&"5a".repeat(32)).expect("key"),
        };
        assert!(crate::Service::start(deps).await.is_err(), "{url} {from}");
    }
}
