//! The socket that metrics are served on. It is llb's own: no worker of its fleet has it.

use std::{
    fs, io,
    net::TcpListener,
    os::unix::{
        fs::FileTypeExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use crate::{
    config::MetricsAddress,
    sys::procfs::{self, Process},
};

/// Why metrics cannot be served. It names the address, who holds it, and the way out.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve metrics at {address} (--metrics){}", way_out(source, holder.as_ref()))]
pub struct MetricsError {
    address: MetricsAddress,
    holder: Option<Process>,
    #[source]
    source: io::Error,
}

fn way_out(source: &io::Error, holder: Option<&Process>) -> String {
    match holder {
        _ if source.kind() != io::ErrorKind::AddrInUse => String::new(),
        Some(holder) => format!(", as {holder} listens there; give another address, or end that process"),
        None => ", as another process listens there; give another address, or end that process".into(),
    }
}

/// The socket. That of a path is removed when dropped.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Opens it.
    ///
    /// # Errors
    /// [`MetricsError`].
    pub(crate) fn open(address: &MetricsAddress) -> Result<Self, MetricsError> {
        let opened = match address {
            MetricsAddress::Tcp(address) => bind_tcp(*address).map(Listener::Tcp),
            MetricsAddress::Unix(path) => bind_unix(path).map(|listener| Listener::Unix(listener, path.clone())),
        };
        opened.map_err(|source| {
            let holder = match address {
                MetricsAddress::Tcp(at) if source.kind() == io::ErrorKind::AddrInUse => procfs::port_holder(at.port()),
                _ => Ok(None),
            };
            MetricsError { address: address.clone(), holder: holder.ok().flatten(), source }
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            // Without the right to remove it, the next one does.
            let _ = fs::remove_file(path);
        }
    }
}

fn bind_tcp(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    // std sets SO_REUSEADDR, so connections that an earlier master has served are not in the way.
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let is_left = || {
        let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
        let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        is_socket && UnixStream::connect(path).is_err_and(refused)
    };
    let listener = match UnixListener::bind(path) {
        // What a master that was killed has left.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left() => {
            fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::{fs, net::TcpListener, os::unix::net::UnixListener};

    use super::Listener;
    use crate::config::MetricsAddress;

    #[test]
    fn a_busy_address_names_its_holder() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let said = Listener::open(&MetricsAddress::Tcp(address)).unwrap_err().to_string();
        let expected = format!("cannot serve metrics at {address} (--metrics), as pid {} ", std::process::id());
        assert!(said.starts_with(&expected) && said.contains("give another address"), "{said}");
    }

    #[test]
    fn a_left_socket_is_replaced_and_a_living_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("metrics");
        let address = MetricsAddress::Unix(path.clone());
        drop(UnixListener::bind(&path).unwrap());
        let first = Listener::open(&address).unwrap();
        assert!(Listener::open(&address).unwrap_err().to_string().contains("another process listens there"));
        drop(first);
        assert!(!path.exists());
        fs::write(&path, "not a socket").unwrap();
        drop(Listener::open(&address).unwrap_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "not a socket");
    }
}
