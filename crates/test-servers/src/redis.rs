//! A Redis server of one's own.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use crate::Unavailable;
use crate::find::redis_program;
use crate::folder::Folder;
use crate::process::{Frozen, Server};

/// A server that hangs must not hang the test.
const LIMIT: Duration = Duration::from_secs(10);

/// A server, running or not. Dropped, it is gone with what it had.
///
/// It listens on a socket in its own folder, so its address stays the same however often it ends and starts. It
/// forgets everything when it ends, unless it was told `SAVE`: then it starts with that.
#[derive(Debug)]
pub struct Redis {
    // Fields are dropped in this order: the folder's end kills the server, and is to find it named.
    folder: Folder,
    server: Server,
}

impl Redis {
    /// Starts an empty one.
    ///
    /// # Errors
    /// Where Redis is not installed or does not start.
    pub fn start() -> Result<Self, Unavailable> {
        let program = redis_program()?;
        let folder = Folder::new("hotswap-redis-", None)?;
        let dir = folder.path().to_owned();
        let args = ["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--appendonly", "no"];
        let args = args.map(str::to_owned).to_vec();
        let server = Server { program, args, user: None, dir, name: "redis", child: None };
        let mut redis = Self { folder, server };
        redis.start_again()?;
        Ok(redis)
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// The socket, for a relay.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Starts it after [`Self::stop`] or [`Self::kill`], at the same address.
    ///
    /// # Errors
    /// Where it runs already, or does not start.
    pub fn start_again(&mut self) -> Result<(), Unavailable> {
        let socket = self.socket();
        self.server.start(|_| ask(&socket, &["PING"]).is_ok_and(|answer| answer == "PONG"))
    }

    /// Ends it in good order.
    ///
    /// # Errors
    /// Where it does not end.
    pub fn stop(&mut self) -> Result<(), Unavailable> {
        self.server.end(Signal::TERM)
    }

    /// Kills it (-9).
    ///
    /// # Errors
    /// Where it does not end.
    pub fn kill(&mut self) -> Result<(), Unavailable> {
        self.server.kill()
    }

    /// Lets it stand until the result is dropped.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn freeze(&self) -> Result<Frozen, Unavailable> {
        let not = || Unavailable::Failed("redis does not run".into());
        self.server.pid().map(Frozen::process).ok_or_else(not)
    }

    /// Sends a command on a connection of its own. The answer is text, a list has a line for each element, and
    /// nothing is "(nil)".
    ///
    /// # Errors
    /// Where it does not answer, or answers with an error.
    pub fn command(&self, words: &[&str]) -> Result<String, Unavailable> {
        let answer = ask(&self.socket(), words);
        answer.map_err(|e| Unavailable::failed(format!("redis, {}", words.join(" ")), e))
    }
}

fn ask(socket: &PathBuf, words: &[&str]) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(request.as_bytes())?;
    answer(&mut BufReader::new(stream))
}

/// Reads one value of the protocol (RESP2).
fn answer(from: &mut BufReader<UnixStream>) -> io::Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let odd = || io::Error::other("an answer that is none of Redis");
    let (kind, rest) = line.trim_end().split_at_checked(1).ok_or_else(odd)?;
    let count = || rest.parse::<i64>().map_err(|_| odd());
    match kind {
        "+" | ":" => Ok(rest.to_owned()),
        "-" => Err(io::Error::other(rest.to_owned())),
        "$" | "*" if count()? < 0 => Ok("(nil)".to_owned()),
        "$" => {
            let mut bytes = vec![0; usize::try_from(count()?).map_err(|_| odd())? + 2];
            from.read_exact(&mut bytes)?;
            bytes.truncate(bytes.len() - 2);
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        "*" => {
            let elements: io::Result<Vec<String>> = (0..count()?).map(|_| answer(from)).collect();
            Ok(elements?.join("\n"))
        }
        _ => Err(odd()),
    }
}
