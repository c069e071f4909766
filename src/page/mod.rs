//! The pages of runs on a port of this machine: a list, and each run live, for a person with a browser.
//!
//! A journal is what is served: its file is read as it grows, so that no reader is known to the run. Answers go
//! to whoever was given as [`Answers`]; what they mean is decided there. `door` decides who may come in, `folds` keeps
//! what was read, `routes` answers requests. What it does not know: terminals, and other machines.

mod door;
mod folds;
mod routes;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tokio::net::TcpListener;

use door::Door;
use folds::Folds;
pub use folds::located;

/// What somebody answered on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answering {
    /// The run's id.
    pub run: String,
    /// Which question.
    pub question: u32,
    /// Yes or no.
    pub yes: bool,
    /// The word that the step wants; empty where none was entered.
    pub word: String,
    /// A note.
    pub note: String,
    /// Values of the form, as they were entered.
    pub form: BTreeMap<String, String>,
}

/// Takes answers to the run that asks.
pub trait Answers: Send + Sync {
    /// Whose they are, whichever browser they come from.
    fn who(&self) -> String;
    /// Answers; says how the question stands now, or why the answer is not taken.
    fn answer(&self, answering: Answering) -> BoxFuture<'_, Result<String, String>>;
}

/// Says what a run is about between its records.
pub trait Tells: Send + Sync {
    /// A line whenever it changes; an empty one where nothing is known any more.
    fn progress(&self, run: &str) -> BoxStream<'static, String>;
}

/// Which runs are shown, and where answers go.
#[derive(Clone)]
pub struct Site {
    /// The folder of their state files.
    pub folder: PathBuf,
    /// None where nothing is known but what is in the state files.
    pub tells: Option<Arc<dyn Tells>>,
    /// None where nobody can answer here.
    pub answers: Option<Arc<dyn Answers>>,
}

/// A port that is ours, before anybody is let in.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    door: Door,
}

impl Bound {
    /// Takes a port of this machine; 0 is any free one.
    ///
    /// # Errors
    /// Why that cannot be: the address is none, is of another machine or of all of them, or is taken.
    pub async fn to(address: &str) -> Result<Self, String> {
        let wanted = loopback(address)?;
        let listener = TcpListener::bind(wanted)
            .await
            .map_err(|error| format!("cannot listen on {wanted}: {error}"))?;
        let address = listener
            .local_addr()
            .map_err(|error| format!("cannot listen on {wanted}: {error}"))?;
        Ok(Self {
            listener,
            address,
            door: Door::new(address),
        })
    }

    /// The address to open in a browser: it lets one browser in, once.
    pub fn address(&self) -> String {
        format!("http://{}/?token={}", self.address, self.door.token())
    }

    /// Serves until `end` is there; then open streams are closed.
    ///
    /// # Errors
    /// Where connections can no longer be taken.
    pub async fn serve(
        self,
        site: Site,
        end: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let (closing, closed) = tokio::sync::watch::channel(false);
        let router = routes::router(site, Folds::default(), self.door, closed);
        axum::serve(self.listener, router)
            .with_graceful_shutdown(async move {
                end.await;
                let _ = closing.send(true);
            })
            .await
    }
}

/// `localhost` is taken for 127.0.0.1: what it resolves to is somebody else's to say.
fn loopback(address: &str) -> Result<SocketAddr, String> {
    let named = address
        .strip_prefix("localhost:")
        .map(|port| format!("127.0.0.1:{port}"));
    let parsed: Result<SocketAddr, _> = named.as_deref().unwrap_or(address).parse();
    let parsed = parsed.map_err(|_| {
        format!(
            "`{address}` is no address: give one of this machine with a port, such as 127.0.0.1:0"
        )
    })?;
    match parsed.ip().is_loopback() {
        true => Ok(parsed),
        false => Err(format!(
            "{parsed} can be reached from elsewhere, and this is plain HTTP: give 127.0.0.1:PORT, and forward it \
             (ssh -L) where it is wanted"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_listened_on() {
        for good in [
            "127.0.0.1:0",
            "127.3.2.1:80",
            "[::1]:8080",
            "localhost:8080",
        ] {
            assert!(loopback(good).is_ok(), "{good}");
        }
        for bad in [
            "0.0.0.0:0",
            "[::]:80",
            "10.0.0.1:80",
            "192.168.1.1:1",
            "8080",
            "localhost",
            "localhost.example:80",
            "[::ffff:10.0.0.1]:80",
            "",
        ] {
            assert!(loopback(bad).is_err(), "{bad}");
        }
    }
}
