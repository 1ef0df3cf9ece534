//! Tells lanes that there may be work for them, so that one without work asks the store for nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

/// Whom the last ring was for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rung {
    Everybody,
    Routes(Arc<BTreeSet<String>>),
}

/// Rung by whoever knows of work.
#[derive(Clone, Debug)]
pub struct Bell(watch::Sender<Rung>);

/// Hears the bell for one route.
#[derive(Debug)]
pub struct Ear {
    route: String,
    rung: watch::Receiver<Rung>,
}

impl Default for Bell {
    fn default() -> Self {
        Self(watch::channel(Rung::Everybody).0)
    }
}

impl Bell {
    /// There may be work for every lane.
    pub fn ring(&self) {
        self.0.send_replace(Rung::Everybody);
    }

    /// There is work for the lanes of these routes.
    pub fn ring_for(&self, routes: BTreeSet<String>) {
        if !routes.is_empty() {
            self.0.send_replace(Rung::Routes(Arc::new(routes)));
        }
    }

    /// An ear for one route. It hears what is rung from now on.
    pub fn ear(&self, route: &str) -> Ear {
        Ear { route: route.to_owned(), rung: self.0.subscribe() }
    }
}

impl Ear {
    /// Ends when there may be work; never if nobody can ring any more.
    pub async fn heard(&mut self) {
        while self.rung.changed().await.is_ok() {
            match &*self.rung.borrow_and_update() {
                Rung::Routes(routes) if !routes.contains(&self.route) => {}
                _ => return,
            }
        }
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn a_lane_hears_what_is_for_it_and_nothing_else() {
        let bell = Bell::default();
        let (mut here, mut there) = (bell.ear("here"), bell.ear("there"));
        assert!(here.heard().now_or_never().is_none(), "nobody rang");
        bell.ring_for(["here".to_owned()].into());
        assert!(here.heard().now_or_never().is_some());
        assert!(there.heard().now_or_never().is_none());
        assert!(here.heard().now_or_never().is_none(), "once for each ring");
        bell.ring_for(BTreeSet::new());
        assert!(here.heard().now_or_never().is_none());
        bell.ring();
        assert!(here.heard().now_or_never().is_some());
        assert!(there.heard().now_or_never().is_some());
    }
}
