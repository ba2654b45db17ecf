//! The admin socket as a file: made private, taken over from a dead relay, refused while a live one answers, removed at the end.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error("another relay answers at {}: stop it first, or give this one its own --admin-socket", .0.display())]
    InUse(PathBuf),
    #[error("{} exists and is not a socket: remove it, or choose another --admin-socket", .0.display())]
    NotASocket(PathBuf),
    #[error("directory {} belongs to another user: choose another --admin-socket", .0.display())]
    StrangersDirectory(PathBuf),
    #[error("admin socket {}: {source}: choose a writable place with --admin-socket", .path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Removes the socket file when dropped, if it is still the one that was bound.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl SocketFile {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|now| now.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Binds at `path`, mode 0600. Call before anything else of the relay is bound: a live relay is noticed here.
pub fn bind(path: &Path) -> Result<(UnixListener, SocketFile), SocketError> {
    let fault = |source| SocketError::Io {
        path: path.to_owned(),
        source,
    };
    make_directory(path)?;
    clear_the_place(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(fault)?;
    // The file takes its mode from the socket's inode: it is never open to others, not even between bind and chmod.
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR).map_err(|errno| fault(errno.into()))?;
    socket
        .bind(&SockAddr::unix(path).map_err(fault)?)
        .map_err(fault)?;
    socket.listen(128).map_err(fault)?;
    socket.set_nonblocking(true).map_err(fault)?;
    let listener = UnixListener::from_std(OwnedFd::from(socket).into()).map_err(fault)?;
    let inode = std::fs::symlink_metadata(path).map_err(fault)?.ino();
    let file = SocketFile {
        path: path.to_owned(),
        inode,
    };
    Ok((listener, file))
}

fn make_directory(path: &Path) -> Result<(), SocketError> {
    let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) else {
        return Ok(());
    };
    let fault = |source| SocketError::Io {
        path: path.to_owned(),
        source,
    };
    if !directory.exists() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(fault)?;
    }
    // In /tmp anyone may have made our directory before us, this moment even, or a link that leads to one of ours.
    let me = nix::unistd::geteuid().as_raw();
    let entry = std::fs::symlink_metadata(directory).map_err(fault)?;
    let target = std::fs::metadata(directory).map_err(fault)?;
    if [entry, target]
        .iter()
        .all(|made| [me, 0].contains(&made.uid()))
    {
        return Ok(());
    }
    Err(SocketError::StrangersDirectory(directory.to_owned()))
}

fn clear_the_place(path: &Path) -> Result<(), SocketError> {
    use std::os::unix::fs::FileTypeExt;
    let fault = |source| SocketError::Io {
        path: path.to_owned(),
        source,
    };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fault(error)),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(SocketError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        // Nobody listens: left over by a relay that was killed.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(fault)
        }
        Err(error) => Err(fault(error)),
        Ok(_) => Err(SocketError::InUse(path.to_owned())),
    }
}
