//! From a granted site to a connection with an address that was checked.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Host;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::grants::{AddressClass, Allowed, Scheme, classify};

/// What drives a connection.
pub(super) type Connection = std::pin::Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// An address that is not public, where only public ones are granted.
pub(super) struct Private {
    pub(super) address: IpAddr,
    pub(super) kind: &'static str,
}

/// Every address of a site. This is the only time its name is looked up.
pub(super) async fn resolve(allowed: &Allowed<'_>) -> Result<Vec<SocketAddr>, Error> {
    let addresses = match &allowed.host {
        Host::Ipv4(address) => vec![IpAddr::V4(*address)],
        Host::Ipv6(address) => vec![IpAddr::V6(*address)],
        Host::Domain(name) => look_up(name).await?,
    };
    if addresses.is_empty() {
        return Err(Error::DestinationNotFound);
    }
    Ok(addresses.into_iter().map(|address| SocketAddr::new(address, allowed.port)).collect())
}

async fn look_up(name: &str) -> Result<Vec<IpAddr>, Error> {
    // The tests answer in the place of a name server, differently each time if they like.
    fail::fail_point!("egress-resolve", |answer| {
        let addresses = answer.unwrap_or_default();
        Ok(addresses.split(' ').filter_map(|address| address.parse().ok()).collect())
    });
    let found = tokio::net::lookup_host((name, 0)).await;
    let failed = |error: std::io::Error| Error::DnsError { rcode: Some(error.to_string()), info_code: None };
    Ok(found.map_err(failed)?.map(|address| address.ip()).collect())
}

/// Refuses a site if any of its addresses is not public: which of them would be used is anybody's choice.
pub(super) fn check(addresses: &[SocketAddr], allowed: &Allowed<'_>) -> Result<(), Private> {
    if allowed.allow_private {
        return Ok(());
    }
    addresses.iter().try_for_each(|address| match classify(address.ip()) {
        AddressClass::Public => Ok(()),
        AddressClass::Special(kind) => Err(Private { address: address.ip(), kind }),
    })
}

/// Connects to the first of the addresses that answers, and speaks to it as to the site.
pub(super) async fn open(
    addresses: &[SocketAddr],
    allowed: &Allowed<'_>,
    timeout: Duration,
) -> Result<(SendRequest<WasiBody>, Connection, SocketAddr), Error> {
    let opening = async {
        let (stream, address) = connect(addresses).await?;
        let (sender, connection) = match allowed.scheme {
            Scheme::Http => shake_hands(stream).await?,
            Scheme::Https => shake_hands(encrypt(stream, &allowed.host).await?).await?,
        };
        Ok((sender, connection, address))
    };
    tokio::time::timeout(timeout, opening).await.map_err(|_| Error::ConnectionTimeout)?
}

async fn connect(addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), Error> {
    let mut failed = Error::DestinationNotFound;
    for address in addresses {
        // The tests must not reach out to public addresses.
        fail::fail_point!("egress-connect", !address.ip().is_loopback(), |_| Err(
            Error::DestinationUnavailable
        ));
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok((stream, *address)),
            Err(error) => failed = Error::Connect(error),
        }
    }
    Err(failed)
}

async fn shake_hands<S>(stream: S) -> Result<(SendRequest<WasiBody>, Connection), Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    Ok((sender, Box::pin(async move { connection.await.map_err(Error::from) })))
}

/// Over TLS with the site's name, whatever its address.
async fn encrypt(
    stream: TcpStream,
    host: &Host<String>,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Error> {
    let config = crate::tls::config().map_err(|reason| Error::Tls(std::io::Error::other(reason)))?;
    let name = match host {
        Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|_| Error::HttpRequestUriInvalid)?,
        Host::Ipv4(address) => ServerName::from(IpAddr::V4(*address)),
        Host::Ipv6(address) => ServerName::from(IpAddr::V6(*address)),
    };
    TlsConnector::from(config).connect(name, stream).await.map_err(Error::Tls)
}
