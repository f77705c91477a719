//! Opening: authentication, and then the driver.

use tokio::io::{AsyncRead, AsyncWrite};

use super::Connection;
use crate::error::Error;
use crate::procedure::{AuthList, AuthPolkit, AuthTypes, ConnectFlags, ConnectOpen};

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Opens the driver of `uri` in the daemon at the other end of `stream`, read-only. The URI is the daemon's own,
    /// such as `qemu:///system`; an empty one lets the daemon choose.
    ///
    /// Procedures 66 (`AUTH_LIST`), 70 (`AUTH_POLKIT`) where the daemon wants it, and 1 (`CONNECT_OPEN`),
    /// `virConnectOpenReadOnly`.
    ///
    /// It waits as long as the daemon is silent: put a timeout around it.
    ///
    /// # Errors
    ///
    /// If the daemon requires an authentication that this client does not support, refuses this client, or does not
    /// have the driver; or if the peer does not speak libvirt's protocol.
    pub async fn open(stream: S, uri: &str) -> Result<Self, Error> {
        let mut connection = Self::authenticated(stream).await?;
        connection.open_driver(uri).await?;
        Ok(connection)
    }

    /// The first half of [`open`](Self::open): the daemon has answered and accepted this client. It lets a caller tell
    /// a silent daemon from one whose driver takes long.
    ///
    /// Procedures 66 (`AUTH_LIST`) and, where the daemon wants it, 70 (`AUTH_POLKIT`).
    ///
    /// # Errors
    ///
    /// If the daemon requires an authentication that this client does not support, or refuses this client; or if the
    /// peer does not speak libvirt's protocol.
    pub async fn authenticated(stream: S) -> Result<Self, Error> {
        let mut connection = Self::new(stream);
        connection.authenticate().await?;
        Ok(connection)
    }

    /// The second half of [`open`](Self::open).
    ///
    /// Procedure 1 (`CONNECT_OPEN`), `virConnectOpenReadOnly`.
    ///
    /// # Errors
    ///
    /// If the daemon does not have the driver, or its driver refuses this client.
    pub async fn open_driver(&mut self, uri: &str) -> Result<(), Error> {
        let uri = (!uri.is_empty()).then(|| uri.to_owned());
        self.call(&ConnectOpen { uri, flags: ConnectFlags }).await
    }

    async fn authenticate(&mut self) -> Result<(), Error> {
        let AuthTypes(types) = self.call(&AuthList {}).await?;
        // A daemon lists what it accepts, best first; an empty list requires nothing.
        for wanted in &types {
            match *wanted {
                AuthTypes::NONE => return Ok(()),
                AuthTypes::POLKIT => {
                    return match self.call(&AuthPolkit {}).await {
                        Ok(_) => Ok(()),
                        Err(Error::Libvirt(error)) if error.is_refusal() => Err(Error::Polkit(error)),
                        Err(Error::Libvirt(error)) => Err(Error::NoPolkit(error)),
                        Err(error) => Err(error),
                    };
                }
                _ => {}
            }
        }
        if types.is_empty() { Ok(()) } else { Err(Error::Authentication { wanted: wanted(&types) }) }
    }
}

fn wanted(types: &[i32]) -> String {
    let names = types.iter().map(|kind| match *kind {
        AuthTypes::SASL => "SASL".to_owned(),
        other => format!("authentication of type {other}"),
    });
    names.collect::<Vec<_>>().join(" or ")
}
