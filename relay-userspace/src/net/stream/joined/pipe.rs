//! One direction between two plain sockets: bytes move by `splice(2)`, inside the kernel, and never come here.

use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::time::Instant;

use nix::fcntl::{OFlag, SpliceFFlags, splice};
use nix::unistd::pipe2;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::Terms;

/// What a pipe holds, unless the system says otherwise.
const MOST: usize = 64 << 10;
/// Less is not worth a system call.
const LEAST: usize = 4 << 10;

pub struct Lane<'a> {
    from: &'a TcpStream,
    to: &'a TcpStream,
    read: OwnedFd,
    write: OwnedFd,
}

impl<'a> Lane<'a> {
    pub fn new(from: &'a TcpStream, to: &'a TcpStream) -> io::Result<Self> {
        let (read, write) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)?;
        Ok(Self {
            from,
            to,
            read,
            write,
        })
    }

    /// Until `from` sends no more, which `to` is then told. `from` is read only while `to` takes.
    pub(super) async fn run(&self, terms: &Terms, direction: usize) -> io::Result<()> {
        loop {
            let room = match terms.pass.room(direction, Instant::now()) {
                Ok(room) => room.clamp(LEAST, MOST),
                Err(wait) => {
                    tokio::time::sleep(wait).await;
                    continue;
                }
            };
            let mut held = self.fill(room).await?;
            if held == 0 {
                return socket2::SockRef::from(self.to).shutdown(Shutdown::Write);
            }
            terms.pass.spend(direction, Instant::now(), held);
            while held > 0 {
                let moved = self.drain(held).await?;
                terms.moved.add(direction, moved);
                held -= moved;
            }
        }
    }

    /// 0: nothing more comes.
    async fn fill(&self, room: usize) -> io::Result<usize> {
        self.from
            .async_io(Interest::READABLE, || {
                moved(splice(self.from, None, &self.write, None, room, flags()))
            })
            .await
    }

    async fn drain(&self, held: usize) -> io::Result<usize> {
        self.to
            .async_io(Interest::WRITABLE, || {
                moved(splice(&self.read, None, self.to, None, held, flags()))
            })
            .await
    }
}

fn flags() -> SpliceFFlags {
    SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK
}

fn moved(result: nix::Result<usize>) -> io::Result<usize> {
    result.map_err(io::Error::from)
}
