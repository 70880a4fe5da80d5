//! The configuration against its example, its parts' own defaults, and mistakes.

use confique::meta::{Field, LeafKind};

use super::*;

const EXAMPLE: &str = include_str!("../../../../jangteo.example.toml");

fn defaults() -> Config {
    Config::from_layer(Layer::default_values()).expect("complete")
}

fn refused(text: &str) -> String {
    parse(text).err().expect("refused").to_string()
}

#[test]
fn the_example_is_the_generated_template() {
    // Write it anew with `cargo run -- config template > jangteo.example.toml`.
    assert_eq!(EXAMPLE, Config::template());
}

#[test]
fn the_example_uncommented_says_the_defaults() {
    let is_value = |line: &&str| !line.starts_with("# ") && !line.ends_with(" =");
    let text: Vec<&str> = EXAMPLE.lines().filter(is_value).map(|line| line.trim_start_matches('#')).collect();
    let layer = parse(&text.join("\n")).expect("the example is valid");
    let from_example = Config::from_layer(layer).expect("complete without defaults");
    assert_eq!(from_example.to_toml().expect("toml"), defaults().to_toml().expect("toml"));
}

#[test]
fn defaults_are_those_of_the_parts() {
    let config = defaults();
    let (member, order) = (config.member_settings(String::new()), config.order_settings().expect("zone"));
    let (of_member, of_order) = (member::Settings::default(), order::Settings::default());
    assert_eq!(
        (member.access_ttl_s, member.refresh_ttl_days, member.refresh_grace_s, member.verification_hours),
        (of_member.access_ttl_s, of_member.refresh_ttl_days, of_member.refresh_grace_s, of_member.verification_hours)
    );
    assert_eq!(
        (order.hold_ms, order.batch_max, order.inbox_max),
        (of_order.hold_ms, of_order.batch_max, of_order.inbox_max)
    );
    let (gateway, of_gateway) = (config.gateway_settings(), gateway::Settings::default());
    assert_eq!(gateway.rates, of_gateway.rates);
    assert_eq!((gateway.issuer, gateway.audience), (member.issuer, member.audience));
    assert_eq!(
        (gateway.body_bytes_max, gateway.connections_max, gateway.in_flight_max, gateway.request_timeout_ms),
        (
            of_gateway.body_bytes_max,
            of_gateway.connections_max,
            of_gateway.in_flight_max,
            of_gateway.request_timeout_ms
        )
    );
}

#[test]
fn commands_are_quiet_unless_more_was_asked_for() {
    let log = defaults().log;
    assert_eq!(log.filter, FILTER_DEFAULT);
    assert_eq!(log.for_commands().filter, "warn");
    assert_eq!(Log { filter: "debug".into(), ..log }.for_commands().filter, "debug");
}

#[test]
fn every_key_has_the_variable_of_its_name_and_a_default_or_none() {
    for section in Config::META.fields {
        let FieldKind::Nested { meta } = &section.kind else { panic!("{} is not a section", section.name) };
        for Field { name, kind, .. } in meta.fields {
            let FieldKind::Leaf { env, kind } = kind else { panic!("{name} is not a key") };
            let expected = format!("JANGTEO_{}_{}", section.name, name).to_uppercase();
            assert_eq!(*env, Some(expected.as_str()));
            assert!(!matches!(kind, LeafKind::Required { default: None }), "{name} has no default");
        }
    }
}

#[test]
fn mistakes_are_named_and_secrets_are_not() {
    assert_eq!(refused("[order]\nhold_minuts = 1\n[nope]\nx = 1"), "unknown: nope, order.hold_minuts");
    assert_eq!(refused("order = 1"), "unknown: order (a section, not a value)");
    assert!(refused("[order]\nhold_minutes = 0").contains("order.hold_minutes"));
    assert!(refused("[order]\nhold_minutes = nan").contains("order.hold_minutes"));
    assert!(refused("[market]\nzone = \"Asia/Soul\"").contains("market.zone"));
    assert!(refused("[market]\ncurrency = \"won\"").contains("market.currency"));
    assert!(refused("[log]\nfilter = \"order=loud\"").contains("log.filter"));
    let broken = refused("[database]\nurl = \"postgres://kim:hunter2@host\n");
    assert!(broken.starts_with("line 2") && !broken.contains("hunter2"), "{broken}");
}

#[test]
fn secrets_are_read_and_never_printed() {
    let text = "[database]\nurl = \"postgres://kim:hunter2@host\"\n[mail]\nsmtp_url = \"smtp://kim:hunter2@host\"";
    let layer = parse(text).expect("valid").with_fallback(Layer::default_values());
    let config = Config::from_layer(layer).expect("complete");
    assert!(matches!(config.source(Path::new("x")), db::Source::Postgres { url, .. } if url.contains("hunter2")));
    let printed = config.to_toml().expect("toml") + &format!("{config:?}");
    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(printed.contains("[secret]"));
}

#[test]
fn holds_may_be_fractions_of_a_minute_or_whole() {
    for (text, hold_ms) in [("0.05", 3_000), ("10", 600_000), ("2.5", 150_000)] {
        let layer = parse(&format!("[order]\nhold_minutes = {text}")).expect("valid");
        let config = Config::from_layer(layer.with_fallback(Layer::default_values())).expect("complete");
        assert_eq!(config.order_settings().expect("settings").hold_ms, hold_ms);
    }
}
