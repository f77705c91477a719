//! The addresses to listen on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}; choose another with {option}, or end the program that holds it")]
pub struct ListenError {
    /// The option that it is configured with.
    pub option: &'static str,
    /// The address, as configured.
    pub address: String,
    /// Why.
    pub source: io::Error,
}

/// Listens on every address that a name resolves to: `localhost` is `127.0.0.1` and `::1`, and clients try either. An
/// empty host is every address of the machine. `option` names the flag in the error.
///
/// # Errors
///
/// When the name does not resolve, when an address is in use, and when none can be bound.
pub async fn bind(option: &'static str, host: &str, port: u16) -> Result<Vec<TcpListener>, ListenError> {
    let failed = |source| ListenError { option, address: format!("{host}:{port}"), source };
    if host.is_empty() {
        return every_address(port).await.map(|listener| vec![listener]).map_err(failed);
    }
    let mut addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => tokio::net::lookup_host((host, port)).await.map_err(failed)?.collect(),
    };
    addresses.sort_unstable();
    addresses.dedup();
    let mut listeners: Vec<TcpListener> = Vec::with_capacity(addresses.len());
    let mut refusal = io::Error::new(io::ErrorKind::NotFound, "the name stands for no address");
    for mut address in addresses {
        // Port 0 is a free port: the same one for all addresses.
        if port == 0
            && let Some(first) = listeners.first()
        {
            address.set_port(first.local_addr().map_err(failed)?.port());
        }
        match TcpListener::bind(address).await {
            Ok(listener) => listeners.push(listener),
            // If another program had half of the addresses, it would get every second scrape.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && port != 0 => return Err(failed(error)),
            // A machine without IPv6 still resolves ::1.
            Err(error) => refusal = error,
        }
    }
    if listeners.is_empty() { Err(failed(refusal)) } else { Ok(listeners) }
}

/// IPv6's any-address accepts IPv4 too, where IPv6 exists.
async fn every_address(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
        }
        bound => bound,
    }
}
