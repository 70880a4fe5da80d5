//! The crowd against a little market: an honest one passes, and each vice is found out.

mod fake;

use std::time::Duration;

use indicatif::ProgressBar;
use kit::id::MemberId;
use uuid::Uuid;

use crate::crowd::{Crowd, Event};
use crate::record::{Buyer, Record};
use crate::tests::fake::{Fake, Vice};
use crate::verify::{Findings, verify};
use crate::wire::bearer;

const BUYERS: usize = 60;
const UNITS: u32 = 20;
/// Long enough for a busy test machine to pay within it.
const HOLD: Duration = Duration::from_millis(1_500);

/// Every fifth buyer walks away.
async fn rush(vice: Vice, limit: u32) -> (Record, Findings) {
    let (fake, target) = Fake::start(i64::from(UNITS), i64::from(limit), HOLD, vice).await;
    let buyer = |n| {
        let id = Uuid::now_v7();
        Buyer { id: MemberId(id), token: bearer(&id.to_string()).expect("token"), walker: n % 5 == 0 }
    };
    let event = Event {
        target,
        buyers: (0..BUYERS).map(buyer).collect(),
        option: fake.option,
        sale: fake.sale,
        opens_in: Duration::ZERO,
        seller: bearer("seller").expect("token"),
        units: UNITS,
        limit,
        connections: 8,
        rate: None,
        hold: HOLD,
        stall: Duration::from_millis(1_500),
        run: "test".into(),
    };
    let crowd = Crowd::new(&event);
    crowd.press_early(3).await;
    fake.open();
    crowd.rush(&ProgressBar::hidden()).await;
    crowd.come_back(&ProgressBar::hidden()).await.expect("the seller can look");
    let record = crowd.into_record();
    let findings = verify(&event, &record, &ProgressBar::hidden()).await.expect("verified");
    (record, findings)
}

fn broken(findings: &Findings) -> Vec<&str> {
    findings.checks.iter().filter(|check| !check.breaches.is_empty()).map(|check| check.invariant.as_str()).collect()
}

#[tokio::test]
async fn an_honest_market_passes_and_sells_everything() {
    for limit in [1, 3] {
        let (record, findings) = rush(Vice::None, limit).await;
        assert_eq!(broken(&findings), Vec::<&str>::new());
        assert_eq!((findings.sold, findings.oversold, findings.duplicated, findings.lost), (20, 0, 0, 0));
        assert!(record.holds().count() > 20, "somebody walked away and somebody came back");
    }
}

#[tokio::test]
async fn lost_answers_are_asked_for_again_with_the_same_key() {
    let (record, findings) = rush(Vice::LosesAnswers, 1).await;
    assert!(record.trouble.lost > 0);
    assert_eq!(broken(&findings), Vec::<&str>::new());
    assert_eq!((findings.sold, findings.duplicated), (20, 0));
}

#[tokio::test]
async fn every_vice_is_found_out() {
    let cases = [
        (Vice::Oversells, "I2"),
        (Vice::Forgets, "I3"),
        (Vice::Doubles, "I4"),
        (Vice::ForgetsKeys, "I9"),
        (Vice::IgnoresTheLimit, "I10"),
        (Vice::JumpsTheQueue, "I11"),
        (Vice::OpensEarly, "answers"),
        (Vice::KeepsHolds, "answers"),
        (Vice::Stumbles, "answers"),
    ];
    for (vice, invariant) in cases {
        let (_, findings) = rush(vice, 1).await;
        assert!(broken(&findings).contains(&invariant), "{vice:?}: {:?}", findings.checks);
        match vice {
            Vice::Oversells => assert!(findings.oversold > 0, "{vice:?}"),
            Vice::Forgets => assert_eq!(findings.lost, 1, "{vice:?}"),
            Vice::Doubles => assert!(findings.duplicated > 0, "{vice:?}"),
            _ => {}
        }
    }
}
