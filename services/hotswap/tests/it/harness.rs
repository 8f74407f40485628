//! Real processes of the real binary, each in a folder of its own and on free ports; a backend and a client
//! to send traffic through them.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The longest that a test waits for something that must happen.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// What the servers of a folder log.
const LOG: &str = "servers.log";

/// A command of the binary, without the variables of whoever runs the tests.
pub(crate) fn hotswap(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hotswap"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HOTSWAP_")) {
        command.env_remove(name);
    }
    command.current_dir(folder).stdin(Stdio::null());
    // No contexts of theirs either.
    command.env("HOTSWAP_CLI_CONFIG", folder.join("cli.toml"));
    command
}

/// What a finished command said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

impl Said {
    /// What it printed, which must be all: exit code 0.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.out, self.err);
        self.out
    }

    /// What it complained of, with this exit code.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.out, self.err);
        self.err
    }
}

/// A server process. It is killed with its value.
pub(crate) struct Server {
    pub(crate) folder: PathBuf,
    child: Child,
    /// What it printed on its way up, by the first word of each line.
    pub(crate) told: Vec<(String, String)>,
}

impl Server {
    /// Starts it.
    pub(crate) fn spawn(folder: &Path, args: &[&str]) -> Self {
        Self::spawn_with(folder, &[], args)
    }

    fn spawn_with(folder: &Path, variables: &[(&str, &str)], args: &[&str]) -> Self {
        let log = OpenOptions::new().create(true).append(true).open(folder.join(LOG)).expect("a log");
        let mut command = hotswap(folder);
        command.args(args).envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        Self { folder: folder.to_owned(), child: command.spawn().expect("starts"), told: Vec::new() }
    }

    /// Starts it, and waits for the line that begins with `last`.
    pub(crate) fn start(folder: &Path, args: &[&str], last: &str) -> Self {
        Self::spawn(folder, args).told_up_to(last)
    }

    /// Starts it with variables, and waits for the line that begins with `last`.
    pub(crate) fn start_with(folder: &Path, variables: &[(&str, &str)], args: &[&str], last: &str) -> Self {
        Self::spawn_with(folder, variables, args).told_up_to(last)
    }

    fn told_up_to(mut self, last: &str) -> Self {
        let lines = BufReader::new(self.child.stdout.take().expect("piped")).lines();
        for line in lines.map(|line| line.expect("reads")) {
            let (name, what) = line.split_at(15.min(line.len()));
            self.told.push((name.trim().to_owned(), what.trim().to_owned()));
            if name.trim() == last {
                return self;
            }
        }
        let log = std::fs::read_to_string(self.folder.join(LOG)).unwrap_or_default();
        panic!("ended before it said {last:?}: {:?}\n{log}", self.told);
    }

    /// The suite on free ports, in a data folder "data" below `folder`.
    pub(crate) fn suite(folder: &Path) -> Self {
        Self::start(folder, &UP, "token")
    }

    /// The address that it told under a name.
    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        self.addresses(name)[0]
    }

    /// All that it told under a name: each part has an "admin".
    pub(crate) fn addresses(&self, name: &str) -> Vec<SocketAddr> {
        let told = self.told.iter().filter(|(n, _)| n == name).map(|(_, what)| {
            let what = what.split_once("://").map_or(what.as_str(), |(_, rest)| rest);
            let end = what.find(['/', ' ']).unwrap_or(what.len());
            what[..end].parse().expect("an address")
        });
        told.collect()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A client command against this control plane, as its administrator.
    pub(crate) fn client(&self, plane: &str, args: &[&str]) -> Said {
        let server = format!("http://{}", self.address(plane));
        let mut command = hotswap(&self.folder);
        command.args(args).args(["--server", &server, "--data-dir", "data"]);
        command.output().expect("runs").into()
    }

    /// `hotswap apply -f -` with this text.
    pub(crate) fn apply(&self, plane: &str, text: &str, more: &[&str]) -> Said {
        let server = format!("http://{}", self.address(plane));
        let mut command = hotswap(&self.folder);
        command.args(["apply", "-f", "-", "--server", &server, "--data-dir", "data"]).args(more);
        feed(command, text)
    }

    /// Asks it to stop, and waits.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let sent = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status().expect("kill runs");
        assert!(sent.success());
        self.child.wait().expect("ends")
    }

    /// Waits for its end, which somebody else asked for.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("ends")
    }

    /// Kills it without warning, and waits.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ends");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The suite on free ports.
pub(crate) const UP: [&str; 13] = [
    "up",
    "--data-dir",
    "data",
    "--listen",
    "127.0.0.1:0",
    "--admin-listen",
    "127.0.0.1:0",
    "--gateway-listen",
    "127.0.0.1:0",
    "--gateway-admin-listen",
    "127.0.0.1:0",
    "--log",
    "warn",
];

/// Runs a command with a text as its standard input.
pub(crate) fn feed(mut command: Command, text: &str) -> Said {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("piped");
    // It may end without reading all of it.
    let _ = stdin.write_all(text.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("ends").into()
}

pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A folder in memory, where there is such: for many commits, whose wait for the disk tells nothing.
pub(crate) fn folder_in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| folder())
}

/// Asks again and again until it is so.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LIMIT, "waited too long for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An HTTP server that answers every request with its name.
pub(crate) fn backend(name: &'static str) -> SocketAddr {
    backend_that(move |_| name.to_owned())
}

/// An HTTP server that answers every request with what is made of the lines of its head.
pub(crate) fn backend_that(says: impl Fn(&[String]) -> String + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let says = says.clone();
            std::thread::spawn(move || answer(says, stream));
        }
    });
    address
}

fn answer(says: impl Fn(&[String]) -> String, mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().expect("cloned"));
    while let Some(head) = read_head(&mut reader) {
        let body = says(&head);
        let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

/// The lines of a head; `None` at the end of the stream.
pub(crate) fn read_head(reader: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Some(lines);
        }
        lines.push(line.to_ascii_lowercase());
    }
}

/// A client that keeps one connection open.
pub(crate) struct Browser {
    reader: BufReader<TcpStream>,
}

impl Browser {
    pub(crate) fn open(gateway: SocketAddr) -> Self {
        let stream = TcpStream::connect(gateway).expect("connects");
        stream.set_read_timeout(Some(LIMIT)).expect("set");
        Self { reader: BufReader::new(stream) }
    }

    /// Asks a host for its root; gives the status and the body.
    pub(crate) fn get(&mut self, host: &str) -> Result<(u16, String), String> {
        self.get_with(host, "")
    }

    /// The same, with lines of headers, each with its end.
    pub(crate) fn get_with(&mut self, host: &str, headers: &str) -> Result<(u16, String), String> {
        let text = format!("GET / HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n");
        self.reader.get_mut().write_all(text.as_bytes()).map_err(|e| e.to_string())?;
        let head = read_head(&mut self.reader).ok_or("the connection was closed")?;
        let status = head[0].split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or("no status")?;
        let length = head.iter().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.and_then(|l| l.trim().parse().ok()).ok_or("no length")?;
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).map_err(|e| e.to_string())?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// A pool and a route that sends everything to a backend.
pub(crate) fn shop(backend: SocketAddr) -> String {
    format!(
        "kind: Pool\nname: pools/shop\nbackends: [{{ address: '{backend}' }}]\n---\n\
         kind: Route\nname: routes/shop\nmatches: [{{ path: {{ prefix: / }} }}]\n\
         forward: {{ pool: pools/shop }}\n"
    )
}
