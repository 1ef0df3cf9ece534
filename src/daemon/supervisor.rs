//! Watches the tasks of a daemon: one that ends before its time ends all of them, so that nothing runs half.
//!
//! A daemon whose writer or one lane is gone looks alive and sends nothing. This never starts a task again: what made it
//! panic is still there, and a fresh process finds out first what the old one left behind.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use tokio::task::{Id, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// What ended a daemon, if something did; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Failure {
    happened: CancellationToken,
    told: Arc<OnceLock<String>>,
}

impl Failure {
    /// Cancelled from the moment on in which something failed.
    pub fn token(&self) -> CancellationToken {
        self.happened.clone()
    }

    /// Which task ended and how, if one did.
    pub fn told(&self) -> Option<&str> {
        self.told.get().map(String::as_str)
    }

    fn report(&self, told: String) {
        tracing::error!("{told}; the daemon ends, so that nothing runs half");
        // The first is the cause, whatever follows is its consequence.
        let _ = self.told.set(told);
        self.happened.cancel();
    }
}

/// The tasks of a daemon, by names that a person understands.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    running: JoinSet<()>,
    names: HashMap<Id, String>,
}

impl Tasks {
    /// Starts a task that must run until the daemon stops.
    pub(super) fn spawn(&mut self, name: impl Into<String>, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.running.spawn(task).id();
        self.names.insert(id, name.into());
    }

    /// The same for a task that runs already.
    pub(super) fn adopt(&mut self, name: impl Into<String>, task: JoinHandle<()>) {
        self.spawn(name, async move {
            if let Err(error) = task.await
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        });
    }

    /// Waits for all of them. One that panics, or ends before `stop`, is told to `failure` and stops the others.
    pub(super) async fn watch(mut self, failure: Failure, stop: CancellationToken) {
        while let Some(ended) = self.running.join_next_with_id().await {
            let (id, how) = match ended {
                Ok((id, ())) => (id, "ended"),
                Err(error) => (error.id(), if error.is_panic() { "panicked" } else { "was aborted" }),
            };
            if how != "ended" || !stop.is_cancelled() {
                let name = self.names.get(&id).map_or("a task", String::as_str);
                failure.report(format!("{name} {how}"));
                stop.cancel();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_before_its_time_stops_the_others_and_is_named() {
        async fn check<T>(task: impl FnOnce(CancellationToken) -> T, told: Option<&str>)
        where
            T: Future<Output = ()> + Send + 'static,
        {
            let (failure, stop, mut tasks) = (Failure::default(), CancellationToken::new(), Tasks::default());
            let until_stop = stop.clone();
            tasks.spawn("the sweep", async move { until_stop.cancelled().await });
            tasks.spawn("the lane of route `us`", task(stop.clone()));
            let patience = std::time::Duration::from_secs(20);
            let watched = tokio::spawn(tasks.watch(failure.clone(), stop.clone()));
            if told.is_none() {
                stop.cancel();
            }
            let ended = tokio::time::timeout(patience, watched).await;
            ended.expect("the others were stopped").expect("watching does not panic");
            assert_eq!((failure.told(), failure.token().is_cancelled()), (told, told.is_some()));
        }
        check(|_| async { panic!("on purpose") }, Some("the lane of route `us` panicked")).await;
        let adopted = |_| {
            let mut inner = Tasks::default();
            inner.adopt("it", tokio::spawn(async { panic!("on purpose") }));
            async move { inner.running.join_next().await.expect("one").expect("its panic comes through") }
        };
        check(adopted, Some("the lane of route `us` panicked")).await;
        check(|_| async {}, Some("the lane of route `us` ended")).await;
        check(|stop| async move { stop.cancelled().await }, None).await;
    }
}
