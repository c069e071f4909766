//! Serves [`Service`] on a socket or a port, with the standard health and reflection services.
//!
//! On a thread and a runtime of its own: a run does not share one with whoever looks on. TCP is served with mutual TLS
//! and not otherwise; a client without a certificate that the authority signed is refused in the handshake, and a peer
//! of a Unix socket that is another user when it connects: before anything of either is read.

use std::fs;
use std::io;
use std::net::{TcpListener, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use futures::Stream;
use tokio::sync::oneshot;
use tonic::transport::server::Router;
use tonic::transport::{Certificate, Identity, Server as Transport, ServerTlsConfig};

use super::address::{Address, Announced, announce};
use super::runs::Runs;
use super::service::Service;
use super::slots::{self, Counted, Slots};
use super::socket::{self, Socket};
use super::v1::{DESCRIPTORS, run_service_server::RunServiceServer};

/// The largest request.
const LARGEST: usize = 1 << 20;
/// Calls at the same time on one connection.
const STREAMS: u32 = 64;
/// A peer that is silent for so long is asked whether it is there, and has as long to say so.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// Time for a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Watchers have so long to read to the end of a run that is over.
const LINGER: Duration = Duration::from_secs(2);
/// Threads that read state files.
const READERS: usize = 4;
/// After an error of accepting (no more open files): not at once again.
const AGAIN: Duration = Duration::from_millis(100);

/// Where to listen, and as whom.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Where.
    pub address: Address,
    /// For TCP: certificate and key of the server, and the authority of its clients, PEM files.
    pub tls: Option<ServerFiles>,
}

/// PEM files of a server.
#[derive(Clone, Debug)]
pub struct ServerFiles {
    /// Its certificate, with those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority that signs clients' certificates.
    pub client_ca: PathBuf,
}

/// A socket or a port that is this process's, where nobody is answered yet: whoever connects waits. Dropping it gives it
/// up.
#[derive(Debug)]
pub struct Bound {
    address: Address,
    listener: Listener,
    transport: Transport,
    socket: Option<Socket>,
}

/// A server that answers. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    address: Address,
    end: Option<oneshot::Sender<()>>,
    ended: Receiver<()>,
    _socket: Option<Socket>,
    _announced: Option<Announced>,
}

#[derive(Debug)]
enum Listener {
    Unix(std::os::unix::net::UnixListener),
    Tcp(TcpListener),
}

impl Bound {
    /// Binds.
    ///
    /// # Errors
    /// In words: what is wrong with the address or the files, or what is in the way.
    pub fn to(listen: &Listen) -> Result<Self, String> {
        let mut transport = Transport::builder()
            .max_concurrent_streams(STREAMS)
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE));
        if let Some(tls) = tls_of(listen)? {
            let configured = transport.tls_config(tls);
            transport = configured.map_err(|error| tls_error(&error))?;
        }
        let (listener, socket, address) = bind(&listen.address)?;
        Ok(Self {
            address,
            listener,
            transport,
            socket,
        })
    }

    /// Where it is; a port 0 is a real one here.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Answers from now on. Where the run is this process's own, its address is left beside its journal.
    ///
    /// # Errors
    /// In words, where that cannot be written or no thread can be started.
    pub fn serve(self, runs: Runs) -> Result<Server, String> {
        let announced = match &runs {
            Runs::Own(own) => Some(announce(&own.path, &self.address).map_err(|error| {
                let beside = own.path.display();
                format!("cannot say beside {beside} where the run is served: {error}")
            })?),
            Runs::Folder(_) | Runs::File(_) => None,
        };
        let cannot = |error: io::Error| format!("cannot start: {error}");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(READERS)
            .build()
            .map_err(cannot)?;
        let router = router(self.transport, Service::new(runs))?;
        let (end, ending) = oneshot::channel::<()>();
        let (done, ended) = channel();
        let serve = serve(router, self.listener, ending);
        let thread = thread::Builder::new().name("api".to_owned());
        let spawned = thread.spawn(move || {
            if let Err(error) = runtime.block_on(serve) {
                tracing::error!(%error, "the API ended");
            }
            runtime.shutdown_background();
            // Nobody may wait for it.
            let _ = done.send(());
        });
        spawned.map_err(cannot)?;
        Ok(Server {
            address: self.address,
            end: Some(end),
            ended,
            _socket: self.socket,
            _announced: announced,
        })
    }
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Takes no more calls, and gives watchers a moment to read to the end. Blocks for as long, two seconds at most.
    pub fn stop(mut self) {
        self.end = None;
        // Whoever does not read is left behind with the process.
        let _ = self.ended.recv_timeout(LINGER);
    }
}

async fn serve(
    router: Router,
    listener: Listener,
    ending: oneshot::Receiver<()>,
) -> io::Result<()> {
    let ending = async { drop(ending.await) };
    let slots = Slots::of(slots::share());
    let served = match listener {
        Listener::Unix(listener) => {
            let incoming = users_own(tokio::net::UnixListener::from_std(listener)?, slots);
            router.serve_with_incoming_shutdown(incoming, ending).await
        }
        Listener::Tcp(listener) => {
            let incoming = accepted(tokio::net::TcpListener::from_std(listener)?, slots);
            router.serve_with_incoming_shutdown(incoming, ending).await
        }
    };
    served.map_err(io::Error::other)
}

fn router(mut transport: Transport, service: Service) -> Result<Router, String> {
    let (health, health_service) = tonic_health::server::health_reporter();
    let serving = health.set_serving::<RunServiceServer<Service>>();
    futures::executor::block_on(serving);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| format!("cannot describe the API: {error}"))?;
    let runs = RunServiceServer::new(service).max_decoding_message_size(LARGEST);
    Ok(transport
        .add_service(health_service)
        .add_service(reflection)
        .add_service(runs))
}

fn bind(address: &Address) -> Result<(Listener, Option<Socket>, Address), String> {
    match address {
        Address::Unix(path) => {
            // Whoever reads it beside the journal may stand elsewhere.
            let path = std::path::absolute(path)
                .map_err(|error| format!("cannot listen on {}: {error}", path.display()))?;
            let (listener, socket) = socket::bind(&path)?;
            Ok((Listener::Unix(listener), Some(socket), Address::Unix(path)))
        }
        Address::Tcp(wanted) => {
            let cannot = |error: io::Error| format!("cannot listen on {wanted}: {error}");
            let addresses: Vec<_> = wanted.to_socket_addrs().map_err(cannot)?.collect();
            let listener = TcpListener::bind(addresses.as_slice()).map_err(cannot)?;
            listener.set_nonblocking(true).map_err(cannot)?;
            let bound = listener.local_addr().map_err(cannot)?;
            Ok((
                Listener::Tcp(listener),
                None,
                Address::Tcp(bound.to_string()),
            ))
        }
    }
}

/// TCP and mutual TLS go together, and neither goes alone.
fn tls_of(listen: &Listen) -> Result<Option<ServerTlsConfig>, String> {
    match (&listen.address, &listen.tls) {
        (Address::Unix(_), None) => Ok(None),
        (Address::Unix(_), Some(_)) => {
            Err("TLS is for HOST:PORT: over a Unix socket the kernel says who calls".to_owned())
        }
        (Address::Tcp(address), None) => Err(format!(
            "{address} is served with mutual TLS and not otherwise: give --listen-tls-cert, --listen-tls-key and \
             --listen-tls-client-ca, or listen on a Unix socket"
        )),
        (Address::Tcp(_), Some(files)) => tls(files).map(Some),
    }
}

fn tls(files: &ServerFiles) -> Result<ServerTlsConfig, String> {
    let read = |flag: &str, path: &PathBuf| {
        fs::read(path).map_err(|error| format!("{flag}: cannot read {}: {error}", path.display()))
    };
    let certificate = read("--listen-tls-cert", &files.certificate)?;
    let key = read("--listen-tls-key", &files.key)?;
    let authority = read("--listen-tls-client-ca", &files.client_ca)?;
    let holds = |pem: &[u8], what: &str| {
        let text = String::from_utf8_lossy(pem);
        text.contains(&format!("{what}-----"))
    };
    for (flag, pem, what) in [
        ("--listen-tls-cert", &certificate, "BEGIN CERTIFICATE"),
        ("--listen-tls-key", &key, "PRIVATE KEY"),
        ("--listen-tls-client-ca", &authority, "BEGIN CERTIFICATE"),
    ] {
        if !holds(pem, what) {
            return Err(format!(
                "{flag}: the file holds no PEM block of that kind ({what})"
            ));
        }
    }
    Ok(ServerTlsConfig::new()
        .identity(Identity::from_pem(certificate, key))
        .client_ca_root(Certificate::from_pem(authority))
        .timeout(HANDSHAKE))
}

fn tls_error(error: &tonic::transport::Error) -> String {
    let reason = std::error::Error::source(error).map(ToString::to_string);
    format!(
        "the certificate, the key or the authority cannot be used: {}",
        reason.unwrap_or_else(|| error.to_string())
    )
}

/// Connections of this user; others are closed before anything of them is read.
fn users_own(
    listener: tokio::net::UnixListener,
    slots: Slots,
) -> impl Stream<Item = io::Result<Counted<tokio::net::UnixStream>>> {
    let own = rustix::process::geteuid().as_raw();
    futures::stream::unfold((listener, slots), move |(listener, slots)| async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) if stream.peer_cred().is_ok_and(|peer| peer.uid() == own) => {
                    if let Some(stream) = slots.take(stream) {
                        return Some((Ok(stream), (listener, slots)));
                    }
                }
                Ok(_) => tracing::warn!("a peer that is another user was turned away"),
                Err(error) => wait_after(&error).await,
            }
        }
    })
}

fn accepted(
    listener: tokio::net::TcpListener,
    slots: Slots,
) -> impl Stream<Item = io::Result<Counted<tokio::net::TcpStream>>> {
    futures::stream::unfold((listener, slots), |(listener, slots)| async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let _ = stream.set_nodelay(true);
                    if let Some(stream) = slots.take(stream) {
                        return Some((Ok(stream), (listener, slots)));
                    }
                }
                Err(error) => wait_after(&error).await,
            }
        }
    })
}

async fn wait_after(error: &io::Error) {
    tracing::warn!(%error, "a connection cannot be accepted");
    tokio::time::sleep(AGAIN).await;
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::StreamExt as _;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn one_connection_too_many_is_closed_and_there_is_room_when_another_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let mut incoming = pin!(accepted(listener, Slots::of(1)));
        let _one = TcpStream::connect(at).await.expect("connected");
        let one = incoming.next().await.expect("it goes on").expect("let in");
        let mut two = TcpStream::connect(at).await.expect("connected");
        let mut byte = [0];
        tokio::select! {
            _ = incoming.next() => panic!("there is no room for it"),
            read = two.read(&mut byte) => assert_eq!(read.expect("closed"), 0),
        }
        drop(one);
        let _three = TcpStream::connect(at).await.expect("connected");
        incoming.next().await.expect("it goes on").expect("let in");
    }
}
