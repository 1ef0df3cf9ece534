//! A gate on the way to a provider: what is sent to it is held as long as the gate is shut.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What stands between a daemon and its provider; open at first.
pub(crate) struct Gate {
    /// Where the daemon finds it.
    pub(crate) url: String,
    open: watch::Sender<bool>,
    held: watch::Receiver<u64>,
    task: tokio::task::JoinHandle<()>,
}

impl Gate {
    /// A gate before the provider at an `http://` address.
    pub(crate) async fn before(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = format!("http://{}", listener.local_addr().unwrap());
        let provider = url.trim_start_matches("http://").to_owned();
        let (open, opens) = watch::channel(true);
        let (holds, held) = watch::channel(0);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (opens, holds, provider) = (opens.clone(), holds.clone(), provider.clone());
                tokio::spawn(async move {
                    let _ = pass(client, &provider, opens, holds).await;
                });
            }
        });
        Self { url: gate, open, held, task }
    }

    /// Holds whatever comes from now on.
    pub(crate) fn shut(&self) {
        self.open.send_replace(false);
    }

    /// Lets through what is held, and whatever comes.
    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    /// Waits until something is held.
    pub(crate) async fn holds(&mut self) {
        self.held.wait_for(|count| *count > 0).await.unwrap();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    client: TcpStream,
    provider: &str,
    mut open: watch::Receiver<bool>,
    held: watch::Sender<u64>,
) -> std::io::Result<()> {
    let (mut from, mut to) = client.into_split();
    let (mut answers, mut asks) = TcpStream::connect(provider).await?.into_split();
    let forth = async {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let read = from.read(&mut buffer).await?;
            if read == 0 {
                return asks.shutdown().await;
            }
            if !*open.borrow() {
                held.send_modify(|count| *count += 1);
            }
            if open.wait_for(|open| *open).await.is_err() {
                return Ok(());
            }
            asks.write_all(&buffer[..read]).await?;
        }
    };
    let back = async { tokio::io::copy(&mut answers, &mut to).await.map(|_| ()) };
    tokio::select! {
        done = forth => done,
        done = back => done,
    }
}
