//! The saga: cut between any two steps, repeated, raced, without answers, and undone.

use std::sync::Arc;
use std::time::Duration;

use contract::order::OrderState;
use contract::payment::Payment as _;
use kit::Code;
use kit::id::{MemberId, OrderId};

use super::judge::Line;
use super::{Bench, member, number, pay_request};
use crate::Service;
use crate::entity::attempt::Model;
use crate::saga::outcome;
use crate::state::State;

/// A member with 5,000 won and a hold that costs 1,000.
async fn setting(bench: &Bench, service: &Service) -> (MemberId, OrderId) {
    let kim = member();
    bench.credit(service, kim, 5_000, "c").await.expect("credit");
    (kim, bench.judge.hold(kim, 1_000))
}

async fn attempt(bench: &Bench, service: &Service, kim: MemberId, order: OrderId) -> Model {
    service.payer().admit_new(&bench.ctx, &pay_request(kim, order, "k")).await.expect("admitted")
}

#[tokio::test]
async fn a_crash_between_any_two_steps_is_finished_at_the_next_start() {
    for steps_before in 0..=3 {
        for bench in Bench::all() {
            let service = bench.service().await;
            let (kim, order) = setting(&bench, &service).await;
            let mut attempt = attempt(&bench, &service, kim, order).await;
            for _ in 0..steps_before {
                attempt = service.saga().step(&bench.ctx, attempt).await.expect("step");
            }
            drop(service);
            // Past the lease of the process that died, and past the hold: it must not matter.
            bench.clock.advance_ms(20 * 60_000);
            let service = Service::start(bench.deps().await).await.expect("restart");
            for _ in 0..100 {
                if number(service.database(), "SELECT count(*) FROM attempt WHERE ended_at_ms IS NULL").await == 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(bench.judge.find(order).state, OrderState::Paid, "cut after {steps_before}");
            assert_eq!(bench.balance(&service, kim).await, 4_000);
            assert!(bench.pay(&service, kim, order, "k").await.expect("replay").replayed);
            bench.assert_sound(&service, 0).await;
            service.stop().await;
        }
    }
}

#[tokio::test]
async fn every_step_taken_twice_or_by_two_drivers_happens_once() {
    for bench in Bench::all() {
        let service = bench.service().await;
        let (kim, order) = setting(&bench, &service).await;
        let mut current = attempt(&bench, &service, kim, order).await;
        let mut seen = vec![current.state];
        while !current.state.has_ended() {
            let saga = service.saga();
            let (one, two) =
                tokio::join!(saga.step(&bench.ctx, current.clone()), saga.step(&bench.ctx, current.clone()));
            let (one, two) = (one.expect("step"), two.expect("step"));
            assert_eq!(one.state, two.state);
            let again = saga.step(&bench.ctx, current).await.expect("stale step");
            assert_eq!(again, one);
            seen.push(one.state);
            current = one;
        }
        assert_eq!(seen, [State::Started, State::Reserved, State::Captured, State::Done]);
        assert_eq!(bench.balance(&service, kim).await, 4_000);
        bench.assert_sound(&service, 0).await;
    }
}

#[tokio::test]
async fn a_hold_that_ended_after_the_debit_gives_the_money_back_once() {
    for bench in Bench::all() {
        let service = bench.service().await;
        let (kim, order) = setting(&bench, &service).await;
        let mut current = attempt(&bench, &service, kim, order).await;
        while current.state != State::Captured {
            current = service.saga().step(&bench.ctx, current).await.expect("step");
        }
        assert_eq!(bench.balance(&service, kim).await, 4_000);
        bench.assert_sound(&service, 1).await;
        *bench.judge.ends_holds.lock() = true;
        let undone = service.saga().step(&bench.ctx, current.clone()).await.expect("undo");
        let again = service.saga().step(&bench.ctx, current).await.expect("undo again");
        assert_eq!((undone.state, again.state), (State::Undone, State::Undone));
        assert_eq!(outcome(&again, kit::Currency::KRW).expect_err("undone").code, Code::HoldEnded);
        assert_eq!(bench.balance(&service, kim).await, 5_000);
        assert_eq!(number(service.database(), "SELECT count(*) FROM transfer WHERE cause = 'refund'").await, 1);
        bench.assert_sound(&service, 0).await;

        // The same through the front door.
        let order = bench.judge.hold(kim, 1_000);
        assert_eq!(bench.pay(&service, kim, order, "k2").await.expect_err("ended").code, Code::HoldEnded);
        assert_eq!(bench.balance(&service, kim).await, 5_000);
        bench.assert_sound(&service, 0).await;
    }
}

#[tokio::test]
async fn lost_answers_are_asked_for_again() {
    for lost in 1..=2 {
        for bench in Bench::all() {
            let service = bench.service().await;
            let (kim, order) = setting(&bench, &service).await;
            bench.judge.set_line(Line::LosesAnswers(lost));
            bench.pay(&service, kim, order, "k").await.expect("paid");
            // And the answer of the last step.
            let order = bench.judge.hold(kim, 1_000);
            let mut current =
                service.payer().admit_new(&bench.ctx, &pay_request(kim, order, "k2")).await.expect("admitted");
            while current.state != State::Captured {
                current = service.saga().step(&bench.ctx, current).await.expect("step");
            }
            bench.judge.set_line(Line::LosesAnswers(1));
            let fault = service.saga().step(&bench.ctx, current.clone()).await.expect_err("lost");
            assert_eq!(fault.code, Code::Unavailable);
            assert_eq!(service.saga().step(&bench.ctx, current).await.expect("known").state, State::Done);
            assert_eq!(bench.balance(&service, kim).await, 3_000);
            bench.assert_sound(&service, 0).await;
        }
    }
}

#[tokio::test]
async fn without_an_answer_the_attempt_stays_open_and_is_resumed() {
    for bench in Bench::all() {
        let service = bench.service().await;
        let (kim, order) = setting(&bench, &service).await;
        bench.judge.set_line(Line::Unreachable);
        let unknown = bench.pay(&service, kim, order, "k").await.expect_err("nobody answers");
        assert_eq!(unknown.code, Code::DeadlineExceeded);
        bench.assert_sound(&service, 1).await;
        let running = bench.pay(&service, kim, order, "k").await.expect_err("open");
        assert_eq!(running.code, Code::IdempotencyInProgress);
        let other = bench.judge.hold(kim, 10);
        let reused = bench.pay(&service, kim, other, "k").await.expect_err("other order");
        assert_eq!(reused.code, Code::IdempotencyKeyReused);

        // Still nobody there: the rests grow longer.
        bench.clock.advance_ms(600);
        service.payer().resume_due().await.expect("round");
        bench.clock.advance_ms(600);
        service.payer().resume_due().await.expect("not due yet");
        assert_eq!(number(service.database(), "SELECT max(tries) FROM attempt").await, 1);

        bench.judge.set_line(Line::Good);
        bench.clock.advance_ms(60_000);
        service.payer().resume_due().await.expect("round");
        assert!(bench.pay(&service, kim, order, "k").await.expect("replay").replayed);
        assert_eq!(bench.balance(&service, kim).await, 4_000);
        bench.assert_sound(&service, 0).await;
    }
}

#[tokio::test]
async fn a_caller_who_hangs_up_does_not_stop_the_payment() {
    for bench in Bench::all() {
        let service = Arc::new(bench.service().await);
        let (kim, order) = setting(&bench, &service).await;
        bench.judge.set_line(Line::Slow(Duration::from_millis(50)));
        let call = service.pay(&bench.ctx, pay_request(kim, order, "k"));
        tokio::time::timeout(Duration::from_millis(10), call).await.expect_err("hung up");
        service.stop().await;
        assert_eq!(bench.judge.find(order).state, OrderState::Paid);
        assert_eq!(bench.balance(&service, kim).await, 4_000);
        bench.assert_sound(&service, 0).await;
    }
}

#[tokio::test]
async fn a_second_attempt_waits_for_the_first() {
    for bench in Bench::all() {
        let service = bench.service().await;
        let (kim, order) = setting(&bench, &service).await;
        let first = attempt(&bench, &service, kim, order).await;
        service.saga().step(&bench.ctx, first).await.expect("reserved");
        let second = bench.pay(&service, kim, order, "other").await.expect_err("running");
        assert_eq!(second.code, Code::PaymentRunning);
        assert!(bench.judge.find(order).running.is_some(), "the first keeps its hold");
        assert_eq!(bench.balance(&service, kim).await, 5_000);
        bench.assert_sound(&service, 1).await;
    }
}
