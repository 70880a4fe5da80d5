//! Load for measuring: as much as the connections carry (closed loop), or at a fixed rate (open loop).
//!
//! Every answer is looked at: a figure made of answers other than the expected ones is no figure.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures_util::future::{join, join_all};
use hdrhistogram::Histogram;
use http::StatusCode;
use tokio::sync::Notify;

use crate::bench::meter::cpu_time;
use crate::report::histogram;
use crate::wire::{Answer, Ask, Connection, Target};

/// What each answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// 201, for the first time.
    Created,
    /// 201, marked as repeated.
    Replayed,
    /// A problem with this code.
    Problem(&'static str),
}

impl Expect {
    fn fits(self, answer: &Answer) -> bool {
        match self {
            Self::Created => answer.status == StatusCode::CREATED && !answer.replayed,
            Self::Replayed => answer.status == StatusCode::CREATED && answer.replayed,
            Self::Problem(code) => !answer.status.is_success() && answer.code() == code,
        }
    }
}

/// How long and how hard.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub connections: usize,
    /// Load before the measuring begins.
    pub warm: Duration,
    pub window: Duration,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub per_second: f64,
    /// CPU time of the server for one request, microseconds.
    pub cpu_us: f64,
}

/// Keeps every connection busy; measures in the middle of it.
pub async fn closed(
    target: &Target,
    pid: u32,
    pace: Pace,
    expect: Expect,
    ask: impl FnMut() -> Result<Ask>,
) -> Result<Sample> {
    let ask = RefCell::new(ask);
    let next = || (*ask.borrow_mut())();
    let answered = Cell::new(0_u64);
    let over = Cell::new(false);
    let watch = async {
        tokio::time::sleep(pace.warm).await;
        let begun = (answered.get(), cpu_time(pid)?, Instant::now());
        tokio::time::sleep(pace.window).await;
        let ended = (answered.get(), cpu_time(pid)?, Instant::now());
        over.set(true);
        let requests = (ended.0 - begun.0) as f64;
        Ok(Sample {
            per_second: requests / (ended.2 - begun.2).as_secs_f64(),
            cpu_us: (ended.1 - begun.1).as_secs_f64() * 1e6 / requests.max(1.0),
        })
    };
    let worker = async || -> Result<()> {
        let mut connection = Connection::new(target);
        while !over.get() {
            check(expect, connection.send(&next()?).await.ok()).inspect_err(|_| over.set(true))?;
            answered.set(answered.get() + 1);
        }
        Ok(())
    };
    let (sample, workers): (Result<Sample>, Vec<Result<()>>) =
        join(watch, join_all((0..pace.connections).map(|_| worker()))).await;
    workers.into_iter().collect::<Result<()>>()?;
    sample
}

/// Sends `count` requests, each once, as fast as the connections carry them.
pub async fn all(
    target: &Target,
    connections: usize,
    expect: Expect,
    asks: Vec<Ask>,
    bar: &indicatif::ProgressBar,
) -> Result<()> {
    let send = async |connection: &mut Connection<'_>, ask: Ask| check(expect, connection.send(&ask).await.ok());
    crate::fleet::each(target, connections, asks, bar, send).await.into_iter().collect()
}

/// Sends at `rate` per second for the pace's window, whatever the answers do; latencies from the intended instants, in
/// microseconds. Those of the warming up are left out.
pub async fn open(
    target: &Target,
    pace: Pace,
    rate: f64,
    expect: Expect,
    mut ask: impl FnMut() -> Result<Ask>,
) -> Result<Histogram<u64>> {
    let due: RefCell<VecDeque<(Instant, Ask)>> = RefCell::default();
    let more = Notify::new();
    let over = Cell::new(false);
    let latencies = RefCell::new(histogram());
    let begun = Instant::now();
    let measured_from = begun + pace.warm;
    let dispatch = async {
        let count = ((pace.warm + pace.window).as_secs_f64() * rate) as u64;
        for n in 0..count {
            let intended = begun + Duration::from_secs_f64(n as f64 / rate);
            // The crowd has a core of its own: spinning is exact to microseconds, a timer to milliseconds.
            while Instant::now() < intended && !over.get() {
                tokio::task::yield_now().await;
            }
            due.borrow_mut().push_back((intended, ask()?));
            more.notify_one();
        }
        over.set(true);
        more.notify_waiters();
        Ok(())
    };
    let next = || due.borrow_mut().pop_front();
    let worker = async || -> Result<()> {
        let mut connection = Connection::new(target);
        // Not being able to connect shows with the first request.
        let _ = connection.open().await;
        loop {
            let waiting = more.notified();
            match next() {
                Some((intended, ask)) => {
                    let answer = connection.send(&ask).await.ok();
                    check(expect, answer).inspect_err(|_| over.set(true))?;
                    if intended >= measured_from {
                        let us = u64::try_from(intended.elapsed().as_micros()).unwrap_or(u64::MAX);
                        latencies.borrow_mut().saturating_record(us);
                    }
                }
                None if over.get() => return Ok(()),
                None => waiting.await,
            }
        }
    };
    let (dispatched, workers): (Result<()>, Vec<Result<()>>) =
        join(dispatch, join_all((0..pace.connections).map(|_| worker()))).await;
    dispatched?;
    workers.into_iter().collect::<Result<()>>()?;
    Ok(latencies.into_inner())
}

fn check(expect: Expect, answer: Option<Answer>) -> Result<()> {
    match answer {
        Some(answer) if expect.fits(&answer) => Ok(()),
        Some(answer) => bail!("expected {expect:?}, got {} {}", answer.status.as_u16(), answer.code()),
        None => bail!("expected {expect:?}, the answer was lost"),
    }
}
