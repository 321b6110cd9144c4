//! What the tests of the binary share: a base directory with a small model and a picture, and ways to run `redraft`.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod figures;
pub mod graph;
pub mod tensors;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use serde_json::Value as Json;
use tempfile::TempDir;

pub const BINARY: &str = env!("CARGO_BIN_EXE_redraft");
/// The names of the models and the picture in every base directory.
pub const CHECKPOINT: &str = "tiny.safetensors";
/// Checkpoints that take more than a latent, for those who ask for them.
pub const INPAINTING: &str = "tiny-inpainting.safetensors";
pub const INSTRUCT_PIX2PIX: &str = "tiny-instruct-pix2pix.safetensors";
pub const VAE: &str = "tiny-vae.safetensors";
pub const PICTURE: &str = "draft.png";
/// A base directory as ComfyUI lays it out, removed in the end.
pub struct Base(TempDir);

impl Base {
    /// With the tiny checkpoint, its VAE, and a draft picture of 96 × 64 pixels.
    pub fn new() -> Self {
        let base = Self(tempfile::tempdir().unwrap());
        for folder in
            ["models/checkpoints", "models/vae", "models/embeddings", "models/loras", "input", "output", "temp"]
        {
            fs::create_dir_all(base.path(folder)).unwrap();
        }
        link(&made(CHECKPOINT, make_checkpoint), &base.path("models/checkpoints").join(CHECKPOINT));
        link(&made(VAE, make_vae), &base.path("models/vae").join(VAE));
        fs::copy(made(PICTURE, make_picture), base.path("input").join(PICTURE)).unwrap();
        base
    }

    /// The tiny checkpoints for inpainting and of InstructPix2Pix, too.
    pub fn more_checkpoints(&self) {
        let add = |name, made: PathBuf| link(&made, &self.path("models/checkpoints").join(name));
        add(INPAINTING, made(INPAINTING, make_inpainting));
        add(INSTRUCT_PIX2PIX, made(INSTRUCT_PIX2PIX, make_instruct_pix2pix));
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    /// Writes a file below the base directory and returns its path.
    pub fn write(&self, below: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub fn write_json(&self, below: &str, content: &Json) -> PathBuf {
        self.write(below, content.to_string())
    }

    /// `redraft COMMAND FILE... --base-directory THIS`.
    pub fn command(&self, command: &str, files: &[&Path]) -> Redraft {
        Redraft::new().arg(command).args(files).arg("--base-directory").arg(self.root())
    }

    /// `redraft run FILE --base-directory THIS --device cpu`.
    pub fn run(&self, file: &Path) -> Redraft {
        self.command("run", &[file]).args(["--device", "cpu"])
    }

    /// Every file in the output folder, below it, sorted.
    pub fn outputs(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut folders = vec![self.path("output")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    names.push(path.strip_prefix(self.path("output")).unwrap().display().to_string());
                }
            }
        }
        names.sort();
        names
    }
}

/// A file made once and kept beside the build; it is made anew when the binary is newer. What libtorch draws depends on the
/// CPU in the last digit, so those of another CPU that the environment asks for are kept apart.
fn made(name: &str, make: fn(&Path)) -> PathBuf {
    let cpu = std::env::var("ATEN_CPU_CAPABILITY").unwrap_or_else(|_| "own".to_owned());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("made").join(cpu);
    let path = folder.join(name);
    let time = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    if time(&path).is_none_or(|made| Some(made) < time(Path::new(BINARY))) {
        fs::create_dir_all(&folder).unwrap();
        // Tests run side by side: each makes its own and the last rename wins; all hold the same.
        let aside = tempfile::tempdir_in(&folder).unwrap();
        make(&aside.path().join(name));
        fs::rename(aside.path().join(name), &path).unwrap();
    }
    path
}

fn make_checkpoint(path: &Path) {
    make_checkpoint_of("plain", path);
}

fn make_inpainting(path: &Path) {
    make_checkpoint_of("inpainting", path);
}

fn make_instruct_pix2pix(path: &Path) {
    make_checkpoint_of("instruct-pix2pix", path);
}

fn make_checkpoint_of(kind: &str, path: &Path) {
    let command = Redraft::new().args(["random-checkpoint", "--kind", kind, "--size", "tiny", "--seed", "1"]);
    command.arg(path).finish().expect_code(0);
}

fn make_picture(path: &Path) {
    Redraft::new().args(["draft-picture", "--width", "96", "--height", "64"]).arg(path).finish().expect_code(0);
}

/// The checkpoint's VAE in a file of its own, its names without the prefix.
fn make_vae(path: &Path) {
    let mut vae = tensors::Tensors::read(&made(CHECKPOINT, make_checkpoint));
    vae.0 =
        vae.0.into_iter().filter_map(|(k, v)| Some((k.strip_prefix("first_stage_model.")?.to_owned(), v))).collect();
    vae.write(path);
}

fn link(from: &Path, to: &Path) {
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).unwrap();
    }
}

/// A file or folder in `../shared`, for tests that are ignored without it.
pub fn shared(below: &str) -> PathBuf {
    Path::new(env!("REDRAFT_SHARED_AT")).join(below)
}

/// A command line of `redraft`, on one thread unless the environment says otherwise: tests run side by side.
pub struct Redraft(Command);

impl Redraft {
    pub fn new() -> Self {
        let mut command = Command::new(BINARY);
        if std::env::var_os("OMP_NUM_THREADS").is_none() {
            command.env("OMP_NUM_THREADS", "1");
        }
        command.env_remove("RUST_BACKTRACE").env_remove("REDRAFT_LOG");
        // Nothing is kept from test to test.
        command.env_remove("REDRAFT_CACHE_DIR").env_remove("XDG_CACHE_HOME").env_remove("HOME");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command)
    }

    pub fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        self.0.arg(arg);
        self
    }

    pub fn args<A: AsRef<std::ffi::OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.0.args(args);
        self
    }

    pub fn current_dir(mut self, dir: &Path) -> Self {
        self.0.current_dir(dir);
        self
    }

    pub fn start(mut self) -> Running {
        let mut child = self.0.spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        Running { child, stdout: stdout.map(collect), stderr: stderr.map(collect) }
    }

    pub fn finish(self) -> Done {
        self.start().finish()
    }

    pub fn into_command(self) -> Command {
        self.0
    }
}

impl From<Command> for Redraft {
    fn from(command: Command) -> Self {
        Self(command)
    }
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        from.read_to_end(&mut all).unwrap();
        all
    })
}

/// A `redraft` that runs.
pub struct Running {
    pub child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

impl Running {
    /// Waits until it ends, however long that takes.
    pub fn finish(mut self) -> Done {
        let status = self.child.wait().unwrap();
        let text = |handle: Option<JoinHandle<Vec<u8>>>| {
            String::from_utf8(handle.map(|handle| handle.join().unwrap()).unwrap_or_default()).unwrap()
        };
        let (stdout, stderr) = (text(self.stdout.take()), text(self.stderr.take()));
        Done { code: status.code(), stdout, stderr }
    }
}

/// How a `redraft` ended. No code: a signal ended it.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code\nstdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// stdout as one JSON value per line.
    #[track_caller]
    pub fn events(&self) -> Vec<Json> {
        let lines = self.stdout.lines();
        lines.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// The `data` of the events of one type.
    #[track_caller]
    pub fn events_of(&self, kind: &str) -> Vec<Json> {
        self.events().into_iter().filter(|event| event["type"] == kind).map(|event| event["data"].clone()).collect()
    }
}
