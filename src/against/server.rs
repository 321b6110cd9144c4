//! A running ComfyUI, by its HTTP API. What it sends is a stranger's: sizes are bounded.

use std::io::Read;
use std::time::{Duration, Instant};

use redraft_engine::cx::Cancel;
use redraft_engine::event::SavedFile;
use redraft_engine::memory;
use serde_json::{Value as Json, json};
use ureq::http::StatusCode;

use crate::exit::{Exit, Outcome, Stop};
use crate::out::plain;

/// How long a connection, and any request but a run, may take.
const CONNECT: Duration = Duration::from_secs(10);
const REQUEST: Duration = Duration::from_secs(120);
/// How long a server may take to write down what a run has shown.
const WRITTEN: Duration = Duration::from_secs(10);
/// The most bytes that are taken: of an answer in JSON, and of a file.
const MAX_JSON: u64 = 64 << 20;
const MAX_FILE: u64 = 1 << 30;
/// The longest text of the server that is shown, in characters.
const LONGEST: usize = 2000;
/// Pictures go into this folder below the server's input folder.
const FOLDER: &str = "redraft";

/// How much is read at once, in bytes.
const PART: usize = 1 << 20;

/// How long something may take in all.
pub(super) struct Patience {
    start: Instant,
    all: Duration,
}

impl Patience {
    pub(super) fn begin(all: Duration) -> Self {
        Self { start: Instant::now(), all }
    }

    /// What is left of it.
    fn left(&self) -> Duration {
        self.all.saturating_sub(self.start.elapsed())
    }
}

pub(super) struct Server {
    /// `host:port`, as the address says it.
    pub(super) host: String,
    agent: ureq::Agent,
    /// Tells the server's messages for us from those for others.
    pub(super) client: String,
}

impl Server {
    pub(super) fn new(url: &str) -> Outcome<Self> {
        let wrong = || Stop::wrong(format!("'{url}' is no address of a ComfyUI; write http://HOST:8188"));
        let host = url.strip_prefix("http://").ok_or_else(wrong)?.trim_end_matches('/');
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
        if host.is_empty() || !host.chars().all(is_plain) {
            return Err(wrong());
        }
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(REQUEST))
            .http_status_as_error(false)
            // What leads elsewhere is not followed.
            .max_redirects(0)
            .build();
        // Who else asks the server does not have the same.
        let unique = format!("{}{:?}", std::process::id(), std::time::SystemTime::now());
        let client = format!("redraft-{}", &blake3::hash(unique.as_bytes()).to_hex()[..16]);
        Ok(Self { host: host.to_owned(), agent: config.new_agent(), client })
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }

    pub(super) fn wrong(&self, why: impl std::fmt::Display) -> Stop {
        Stop::new(Exit::Missing, format!("{}: {why}", self.host))
    }

    fn unreachable(&self, error: &ureq::Error) -> Stop {
        self.wrong(format!("cannot be reached ({error}); start ComfyUI there, or name another address"))
    }

    /// Puts a picture into the server's input folder, and returns the name under which nodes find it there. The name is made of the content: no
    /// picture of the server is replaced.
    pub(super) fn upload(&self, name: &str, bytes: &[u8]) -> Outcome<String> {
        let digest = blake3::hash(bytes).to_hex().to_string();
        let ending = name.rsplit_once('.').map(|(_, ending)| ending).filter(|ending| is_word(ending)).unwrap_or("png");
        let name = format!("{}.{ending}", &digest[..24]);
        let boundary = format!("redraft{}", &digest[24..]);
        let mut body = Vec::new();
        for (field, value) in [("type", "input"), ("subfolder", FOLDER), ("overwrite", "true")] {
            let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n");
            body.extend(head.into_bytes());
        }
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"image\"; filename=\"{name}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
        );
        body.extend(head.into_bytes());
        body.extend(bytes);
        body.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
        let content = format!("multipart/form-data; boundary={boundary}");
        let sent = self.agent.post(self.url("/upload/image")).content_type(&content).send(&body);
        let (status, answer) = self.json(sent)?;
        let given = answer["name"].as_str().filter(|_| status == StatusCode::OK);
        let given = given.ok_or_else(|| self.wrong(format!("does not take the picture (status {status})")))?;
        Ok(match answer["subfolder"].as_str().filter(|folder| !folder.is_empty()) {
            Some(folder) => format!("{folder}/{given}"),
            None => given.to_owned(),
        })
    }

    /// Hands a workflow in, and returns the id of its run.
    pub(super) fn submit(&self, prompt: &Json) -> Outcome<String> {
        let body = json!({ "prompt": prompt, "client_id": self.client });
        let sent = self.agent.post(self.url("/prompt")).content_type("application/json").send(body.to_string());
        let (status, answer) = self.json(sent)?;
        match answer["prompt_id"].as_str() {
            Some(id) if status == StatusCode::OK => Ok(id.to_owned()),
            _ => Err(Stop::wrong(format!("{} refuses the workflow (status {status}){}", self.host, refusal(&answer)))),
        }
    }

    /// What the nodes of a run that is over have shown, by id. The server says that a run is over a little before it has this.
    pub(super) fn outputs(&self, run: &str) -> Outcome<Json> {
        if !is_word(run) {
            return Err(self.wrong("names the run in a way that is not understood"));
        }
        let start = Instant::now();
        loop {
            let (_, mut answer) = self.json(self.agent.get(self.url(&format!("/history/{run}"))).call())?;
            if answer[run].is_object() {
                return Ok(answer[run]["outputs"].take());
            }
            if start.elapsed() > WRITTEN {
                return Err(self.wrong("knows nothing of the run that it has said is over"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A file that a node has shown.
    ///
    /// # Errors
    /// If the server does not give it, it takes longer than there is patience, is larger than a gigabyte, or leaves no memory.
    pub(super) fn view(&self, file: &SavedFile, fetching: &Patience, cancel: &Cancel) -> Outcome<Vec<u8>> {
        let SavedFile { filename, subfolder, kind } = file;
        let late =
            || self.wrong(format!("is not done after {} s; give it longer with --timeout", fetching.all.as_secs()));
        let failed = |error: &dyn std::fmt::Display| match fetching.left().is_zero() {
            true => late(),
            false => self.wrong(format!("does not give the file {} ({error})", plain(filename))),
        };
        if fetching.left().is_zero() {
            return Err(late());
        }
        let asked = self.agent.get(self.url("/view"));
        let asked = asked.query("filename", filename).query("subfolder", subfolder).query("type", kind);
        let asked = asked.config().timeout_global(Some(fetching.left().min(REQUEST))).build();
        let mut answer = asked.call().map_err(|error| failed(&error))?;
        let status = answer.status();
        if status != StatusCode::OK {
            return Err(failed(&format!("status {status}")));
        }
        let mut from = answer.body_mut().with_config().limit(MAX_FILE).reader();
        let (mut bytes, mut part) = (Vec::new(), vec![0; PART]);
        loop {
            if cancel.is_raised() {
                return Err(Stop::new(Exit::Cancelled, "cancelled"));
            }
            let count = from.read(&mut part).map_err(|error| failed(&error))?;
            if count == 0 {
                return Ok(bytes);
            }
            if bytes.capacity() < bytes.len() + count {
                let more = bytes.len().max(PART);
                memory::ask(more as u64, "a file of the server")
                    .map_err(|error| Stop::new(Exit::OutOfMemory, error))?;
                bytes.reserve_exact(more);
            }
            bytes.extend(part.iter().take(count));
        }
    }

    fn json(&self, sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Outcome<(StatusCode, Json)> {
        let mut answer = sent.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let bytes = answer.body_mut().with_config().limit(MAX_JSON).read_to_vec();
        let bytes = bytes.map_err(|error| self.unreachable(&error))?;
        match serde_json::from_slice(&bytes) {
            Ok(json) => Ok((status, json)),
            Err(_) => {
                Err(self.wrong(format!("answers with something that is no JSON (status {status}); is it a ComfyUI?")))
            }
        }
    }
}

fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// What a server says of a workflow that it does not take, a line for each node.
fn refusal(answer: &Json) -> String {
    let words = |error: &Json| {
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        let (message, details) = (text("message"), text("details"));
        if details.is_empty() { message } else { format!("{message}: {details}") }
    };
    let mut lines = vec![words(&answer["error"])];
    for (id, node) in answer["node_errors"].as_object().into_iter().flatten().take(50) {
        let class = node["class_type"].as_str().unwrap_or("?");
        for error in node["errors"].as_array().into_iter().flatten().take(20) {
            lines.push(format!("node {id} ({class}): {}", words(error)));
        }
    }
    let shown = lines.iter().filter(|line| !line.is_empty()).map(|line| format!("\n  {}", shortened(line)));
    shown.collect()
}

/// A text of the server, fit to be shown.
pub(super) fn shortened(text: &str) -> String {
    let cut: String = text.chars().take(LONGEST).collect();
    plain(&cut).into_owned()
}
