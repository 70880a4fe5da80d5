//! Many connections at work on one list of jobs, all in one task: no locks, no threads.

use std::cell::RefCell;

use futures_util::future::join_all;
use indicatif::ProgressBar;

use crate::wire::{Connection, Target};

/// Does every job over `connections` connections; results in the order of the jobs.
pub async fn each<J, R>(
    target: &Target,
    connections: usize,
    jobs: Vec<J>,
    bar: &ProgressBar,
    work: impl AsyncFn(&mut Connection<'_>, J) -> R,
) -> Vec<R> {
    let count = jobs.len();
    let queue = RefCell::new(jobs.into_iter().enumerate());
    let next = || queue.borrow_mut().next();
    let worker = async || {
        let mut connection = Connection::new(target);
        let mut done = Vec::new();
        while let Some((index, job)) = next() {
            done.push((index, work(&mut connection, job).await));
            bar.inc(1);
        }
        done
    };
    let mut results: Vec<(usize, R)> =
        join_all((0..connections.min(count)).map(|_| worker())).await.into_iter().flatten().collect();
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_job_is_done_once_and_results_keep_their_order() {
        let target = Target::at("127.0.0.1:1".parse().expect("address")).expect("target");
        let jobs: Vec<u64> = (0..100).collect();
        let results = each(&target, 7, jobs.clone(), &ProgressBar::hidden(), async |_, job| {
            tokio::time::sleep(std::time::Duration::from_micros(997 * job % 1009)).await;
            job * 2
        })
        .await;
        assert_eq!(results, jobs.iter().map(|job| job * 2).collect::<Vec<_>>());
    }
}
