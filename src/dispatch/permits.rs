//! Permits of a lane, for requests that somebody else sends on its route: its limits are the limits of both.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

/// Requests for permits that wait at a lane.
const QUEUE: usize = 16;

/// Wait before a lane that had none is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// Times a lane is asked; after that there is always another day.
const TIMES: u32 = 20;

/// A request for permits.
#[derive(Debug)]
pub(super) struct Loan {
    pub(super) parts: u32,
    pub(super) sender: String,
    pub(super) country: String,
    pub(super) reply: oneshot::Sender<bool>,
}

/// Asks one lane for permits; cheap to clone.
#[derive(Clone, Debug)]
pub struct Permits(mpsc::Sender<Loan>);

impl Permits {
    /// A handle, and where its requests arrive.
    pub(super) fn new() -> (Self, mpsc::Receiver<Loan>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), receiver)
    }

    /// Takes permits for one request, within two seconds; answers whether there were any. They hold for a request that
    /// is sent at once.
    pub async fn take(&self, parts: u32, sender: &str, country: &str) -> bool {
        for _ in 0..TIMES {
            let (reply, answer) = oneshot::channel();
            let loan = Loan { parts, sender: sender.to_owned(), country: country.to_owned(), reply };
            if self.0.send(loan).await.is_err() {
                return false;
            }
            match answer.await {
                Ok(true) => return true,
                Ok(false) => tokio::time::sleep(AGAIN).await,
                Err(_) => return false,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn permits_are_asked_for_again_and_a_lane_that_is_gone_has_none() {
        let (permits, mut lane) = Permits::new();
        let answers = async {
            for answer in [false, true] {
                let loan = lane.recv().await.unwrap();
                assert_eq!((loan.parts, loan.sender.as_str(), loan.country.as_str()), (2, "s", "US"));
                loan.reply.send(answer).unwrap();
            }
            // The next one is dropped without an answer, and then nobody is there.
            drop(lane.recv().await);
            drop(lane);
        };
        let asked = async {
            assert!(permits.take(2, "s", "US").await);
            assert!(!permits.take(2, "s", "US").await);
            assert!(!permits.take(2, "s", "US").await);
        };
        tokio::join!(answers, asked);
    }
}
