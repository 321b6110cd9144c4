//! Running ffmpeg and ffprobe: found on the PATH, ended with the run, and told what files of strangers may be.

use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use redraft_engine::cx::Cx;
use redraft_engine::memory;

/// The variable that names the folder of both programs, where it is not on the PATH.
const FOLDER: &str = "REDRAFT_FFMPEG";
/// How long a cancelled run may go on.
const PATIENCE: Duration = Duration::from_millis(100);
/// How much of what a program says is kept.
const MOST_SAID: u64 = 1 << 16;
/// Parts of a stream that are ready before they are needed.
const AHEAD: usize = 2;

/// The formats that are read. Playlists and scripts, which lead to other files or to the network, are none of them.
const READ: &str = "aac,ac3,aiff,amr,apng,asf,au,av1,avi,caf,eac3,flac,flv,gif,h264,hevc,ivf,m4v,matroska,webm,mov,mp4,m4a,\
                    3gp,3g2,mj2,mp3,mpeg,mpegts,mpegvideo,ogg,rm,tta,voc,w64,wav,wv";

/// ffmpeg, asking nothing and saying only what went wrong.
pub fn ffmpeg() -> Command {
    let mut command = program("ffmpeg");
    command.args(["-nostdin", "-v", "error"]);
    command
}

pub(super) fn ffprobe() -> Command {
    let mut command = program("ffprobe");
    command.args(["-v", "error"]);
    command
}

fn program(name: &str) -> Command {
    let folder = std::env::var_os(FOLDER).map(PathBuf::from);
    let mut command = Command::new(folder.map_or(name.into(), |folder| folder.join(name)));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Adds a file of a stranger as the next input: only as one of the formats in [`READ`], and alone.
pub fn add_input(command: &mut Command, path: &Path) {
    command.args(["-format_whitelist", READ, "-protocol_whitelist", "file", "-i"]).arg(as_file(path));
}

/// A path as ffmpeg takes it, whatever stands in it.
pub fn as_file(path: &Path) -> std::ffi::OsString {
    let mut name = std::ffi::OsString::from("file:");
    name.push(path);
    name
}

/// A program that runs. It ends when this does.
struct Running {
    child: Child,
    name: String,
    /// What it writes to stderr.
    said: Option<JoinHandle<Vec<u8>>>,
}

impl Running {
    fn start(command: &mut Command) -> Result<Self> {
        let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut child = command.stderr(Stdio::piped()).spawn().map_err(|error| not_started(&name, &error))?;
        let stderr = child.stderr.take();
        let said = thread::spawn(move || {
            let mut said = Vec::new();
            if let Some(mut stderr) = stderr {
                let _ = (&mut stderr).take(MOST_SAID).read_to_end(&mut said);
                // Whoever is not read any more would wait for ever.
                let _ = io::copy(&mut stderr, &mut io::sink());
            }
            said
        });
        Ok(Self { child, name, said: Some(said) })
    }

    /// Waits for its end; fails with what it said if it failed.
    fn end(mut self, cx: Option<&Cx>) -> Result<()> {
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if let Some(cx) = cx {
                cx.check()?;
            }
            thread::sleep(Duration::from_millis(2));
        };
        let said = self.said.take().and_then(|said| said.join().ok()).unwrap_or_default();
        if status.success() {
            return Ok(());
        }
        bail!("{} failed ({status}): {}", self.name, in_one_line(&said))
    }
}

/// The first of the lines that a program wrote.
fn in_one_line(said: &[u8]) -> String {
    const LINES: usize = 3;
    let said = String::from_utf8_lossy(said);
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).take(LINES).collect();
    if lines.is_empty() { "it does not say why".to_owned() } else { lines.join("; ") }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn not_started(name: &str, error: &io::Error) -> anyhow::Error {
    if error.kind() == ErrorKind::NotFound {
        return anyhow!(
            "the program {name} is needed for video and sound and is not there: install ffmpeg, or name its folder in {FOLDER}"
        );
    }
    anyhow!("the program {name} cannot be started: {error}; check the installation of ffmpeg")
}

/// Runs a program to its end. `cx` ends it where a run is cancelled.
///
/// # Errors
/// If the program is not there or fails, with what it says.
pub fn run(command: &mut Command, cx: Option<&Cx>) -> Result<()> {
    Running::start(command)?.end(cx)
}

/// Hands `take` what the program writes to stdout, in parts of `size` bytes; the last may be shorter.
///
/// # Errors
/// As [`run`], those of `take`, and if there is no memory for the parts.
pub fn read(
    command: &mut Command,
    cx: Option<&Cx>,
    size: usize,
    mut take: impl FnMut(Vec<u8>) -> Result<()>,
) -> Result<()> {
    memory::ask(size.saturating_mul(AHEAD + 2), "what is read of a file")?;
    let mut running = Running::start(command.stdout(Stdio::piped()))?;
    let mut stdout = running.child.stdout.take().context("a program has no stdout: this is a bug")?;
    let (give, parts) = sync_channel(AHEAD);
    thread::spawn(move || {
        loop {
            let mut part = Vec::with_capacity(size);
            let read = (&mut stdout).take(size as u64).read_to_end(&mut part);
            let part = read.map(|_| part);
            let last = !matches!(&part, Ok(part) if part.len() == size);
            if matches!(&part, Ok(part) if part.is_empty()) || give.send(part).is_err() || last {
                return;
            }
        }
    });
    loop {
        match parts.recv_timeout(PATIENCE) {
            Ok(part) => take(part?)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if let Some(cx) = cx {
            cx.check()?;
        }
    }
    running.end(cx)
}

/// Writes `parts` to the program's stdin, one after the other.
///
/// # Errors
/// As [`run`], and those of the parts.
pub fn feed(command: &mut Command, cx: &Cx, parts: impl Iterator<Item = Result<Vec<u8>>>) -> Result<()> {
    let mut running = Running::start(command.stdin(Stdio::piped()))?;
    let mut stdin = running.child.stdin.take().context("a program has no stdin: this is a bug")?;
    let (give, taken) = sync_channel::<Vec<u8>>(AHEAD);
    // A program that ended says itself why.
    let writer = thread::spawn(move || while taken.recv().is_ok_and(|part| stdin.write_all(&part).is_ok()) {});
    'parts: for part in parts {
        let mut part = part?;
        loop {
            cx.check()?;
            match give.try_send(part) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => break 'parts,
                Err(TrySendError::Full(left)) => part = left,
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
    drop(give);
    running.end(Some(cx)).inspect(|()| {
        let _ = writer.join();
    })
}
