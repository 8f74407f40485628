//! Messages and file descriptors over a UNIX socket. A message is its length, in four bytes, and JSON; descriptors go with
//! bytes of their own behind it, so many to a byte.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;

use super::{Error, Message};

/// The longest message, in bytes.
const LONGEST: usize = 1024 * 1024;
/// Descriptors in one go; the kernel takes 253.
const AT_ONCE: usize = 64;

/// Says something.
pub(super) async fn say(stream: &mut UnixStream, message: &Message) -> Result<(), Error> {
    let text = serde_json::to_vec(message).map_err(io::Error::from)?;
    let length = u32::try_from(text.len()).map_err(|_| Error::Unexpected)?;
    stream.write_all(&[&length.to_be_bytes()[..], &text].concat()).await?;
    Ok(())
}

/// Hears something, in time. What was refused is an error.
pub(super) async fn hear(stream: &mut UnixStream, within: Duration) -> Result<Message, Error> {
    match tokio::time::timeout(within, read(stream)).await {
        Err(_) => Err(Error::Silent),
        Ok(Ok(Message::Refused { why })) => Err(Error::Refused(why)),
        Ok(heard) => heard,
    }
}

async fn read(stream: &mut UnixStream) -> Result<Message, Error> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await.map_err(ended)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > LONGEST {
        return Err(Error::Unexpected);
    }
    let mut text = vec![0; length];
    stream.read_exact(&mut text).await.map_err(ended)?;
    serde_json::from_slice(&text).map_err(|_| Error::Unexpected)
}

fn ended(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            Error::Ended
        }
        _ => error.into(),
    }
}

/// Hands descriptors over.
pub(super) async fn give(stream: &UnixStream, fds: &[BorrowedFd<'_>]) -> Result<(), Error> {
    for some in fds.chunks(AT_ONCE) {
        let send = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
            let mut with = SendAncillaryBuffer::new(&mut space);
            if !with.push(SendAncillaryMessage::ScmRights(some)) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            Ok(sendmsg(stream.as_fd(), &[IoSlice::new(&[0])], &mut with, SendFlags::NOSIGNAL)?)
        };
        stream.async_io(Interest::WRITABLE, send).await?;
    }
    Ok(())
}

/// Takes so many descriptors, in time.
pub(super) async fn take(stream: &UnixStream, count: usize, within: Duration) -> Result<Vec<OwnedFd>, Error> {
    let mut fds = Vec::with_capacity(count);
    let all = async {
        while fds.len() < count {
            let had = fds.len();
            stream.async_io(Interest::READABLE, || receive(stream, &mut fds)).await?;
            if fds.len() == had {
                return Err(Error::Ended);
            }
        }
        Ok(())
    };
    tokio::time::timeout(within, all).await.map_err(|_| Error::Silent)??;
    if fds.len() == count { Ok(fds) } else { Err(Error::Unexpected) }
}

fn receive(stream: &UnixStream, fds: &mut Vec<OwnedFd>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
    let mut with = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    // None of them is to be seen by what this process starts.
    recvmsg(stream.as_fd(), &mut [IoSliceMut::new(&mut byte)], &mut with, RecvFlags::CMSG_CLOEXEC)?;
    for message in with.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            fds.extend(some);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Seek as _, Write as _};

    use super::*;

    #[tokio::test]
    async fn messages_and_any_number_of_descriptors_pass_in_their_order() {
        let (mut from, mut to) = UnixStream::pair().expect("a pair");
        let files: Vec<File> = (0..200)
            .map(|n| {
                let mut file = tempfile::tempfile().expect("a file");
                write!(file, "{n}").expect("written");
                file
            })
            .collect();
        let fds: Vec<_> = files.iter().map(|f| f.as_fd()).collect();
        say(&mut from, &Message::Yours).await.expect("said");
        give(&from, &fds).await.expect("given");
        say(&mut from, &Message::Gone).await.expect("said");
        assert_eq!(hear(&mut to, Duration::from_secs(5)).await.expect("heard"), Message::Yours);
        let taken = take(&to, 200, Duration::from_secs(5)).await.expect("taken");
        for (n, fd) in taken.into_iter().enumerate() {
            let mut file = File::from(fd);
            let mut text = String::new();
            file.rewind().expect("to its begin");
            file.read_to_string(&mut text).expect("text");
            assert_eq!(text, n.to_string());
        }
        assert_eq!(hear(&mut to, Duration::from_secs(5)).await.expect("heard"), Message::Gone);
    }

    #[tokio::test]
    async fn what_is_wrong_is_told_apart() {
        let within = Duration::from_millis(20);
        let (mut from, mut to) = UnixStream::pair().expect("a pair");
        assert!(matches!(hear(&mut to, within).await, Err(Error::Silent)));
        from.write_all(&[255; 4]).await.expect("written");
        assert!(matches!(hear(&mut to, within).await, Err(Error::Unexpected)), "too long");
        say(&mut from, &Message::Refused { why: "no".into() }).await.expect("said");
        assert!(matches!(hear(&mut to, within).await, Err(Error::Refused(why)) if why == "no"));
        drop(from);
        assert!(matches!(hear(&mut to, within).await, Err(Error::Ended)));
        assert!(matches!(take(&to, 1, within).await, Err(Error::Ended)));
    }
}
