//! `redraft diff --against`, with a server of the test's own that speaks the parts of ComfyUI's API which it needs.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Base, Redraft};
use serde_json::{Value as Json, json};
use tungstenite::Message;

/// What a server does to a prompt before it runs it.
type Change = fn(&mut Json);

/// How the server behaves.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// It runs the workflow with redraft; what the closure does to the prompt before is what it does otherwise.
    Runs(Change),
    Refuses,
    Fails,
    IsNoComfy,
    HangsUp,
    /// It runs the workflow, and says that far more pictures were saved.
    Floods,
    /// It runs the workflow, and gives its files byte by byte.
    Dawdles,
}

struct Server {
    manner: Manner,
    base: Base,
    /// Tells the websocket of each run.
    runs: Mutex<Sender<String>>,
    waiting: Mutex<Option<Receiver<String>>>,
    outputs: Mutex<Json>,
    prompts: Mutex<Vec<Json>>,
    /// How many files were asked for.
    views: AtomicUsize,
}

impl Server {
    /// Listens, and returns its address.
    fn start(manner: Manner) -> (Arc<Self>, String) {
        let (runs, waiting) = channel();
        let server = Arc::new(Self {
            manner,
            base: Base::new(),
            runs: Mutex::new(runs),
            waiting: Mutex::new(Some(waiting)),
            outputs: Mutex::new(json!({})),
            prompts: Mutex::default(),
            views: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::clone(&server);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (server, stream) = (Arc::clone(&shared), stream.unwrap());
                std::thread::spawn(move || server.answer(stream));
            }
        });
        (server, address)
    }

    fn answer(&self, stream: TcpStream) {
        let mut first = [0; 7];
        stream.peek(&mut first).unwrap();
        if &first == b"GET /ws" {
            return self.tell(stream);
        }
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let (status, answer) = self.asked(&path, &body);
        let mut stream = stream;
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
        let _ = stream.write_all(head.as_bytes());
        if matches!(self.manner, Manner::Dawdles) && path.starts_with("/view") {
            for byte in answer {
                std::thread::sleep(Duration::from_millis(100));
                if stream.write_all(&[byte]).is_err() {
                    return;
                }
            }
            return;
        }
        let _ = stream.write_all(&answer);
    }

    fn asked(&self, path: &str, body: &[u8]) -> (&'static str, Vec<u8>) {
        let json = |value: Json| ("200 OK", value.to_string().into_bytes());
        match path {
            _ if matches!(self.manner, Manner::IsNoComfy) => ("200 OK", b"<html>".to_vec()),
            "/upload/image" => json(self.upload(body)),
            "/prompt" if matches!(self.manner, Manner::Refuses) => {
                let errors =
                    json!([{ "message": "Value not in list", "details": "ckpt_name: 'x\u{1b}[2J' not in []" }]);
                let answer = json!({ "error": { "message": "Prompt outputs failed validation", "details": "" },
                    "node_errors": { "4": { "class_type": "CheckpointLoaderSimple", "errors": errors } } });
                ("400 Bad Request", answer.to_string().into_bytes())
            }
            "/prompt" => {
                let mut prompt = serde_json::from_slice::<Json>(body).unwrap()["prompt"].take();
                self.prompts.lock().unwrap().push(prompt.clone());
                if let Manner::Runs(change) = self.manner {
                    change(&mut prompt);
                }
                if matches!(self.manner, Manner::Runs(_) | Manner::Floods | Manner::Dawdles) {
                    *self.outputs.lock().unwrap() = self.run(&prompt);
                }
                if matches!(self.manner, Manner::Floods) {
                    for (_, output) in self.outputs.lock().unwrap().as_object_mut().unwrap() {
                        output["images"] = vec![output["images"][0].clone(); 20_000].into();
                    }
                }
                let _ = self.runs.lock().unwrap().send("run-1".to_owned());
                json(json!({ "prompt_id": "run-1", "number": 1, "node_errors": {} }))
            }
            "/history/run-1" => json(json!({ "run-1": { "outputs": *self.outputs.lock().unwrap() } })),
            path if path.starts_with("/view?") => {
                let of = |name: &str| {
                    let value = path[6..].split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
                    value.unwrap_or_default().replace("%2F", "/")
                };
                self.views.fetch_add(1, Ordering::Relaxed);
                let file = self.base.path(&of("type")).join(of("subfolder")).join(of("filename"));
                std::fs::read(file).map_or(("404 Not Found", Vec::new()), |bytes| ("200 OK", bytes))
            }
            _ => ("404 Not Found", b"{}".to_vec()),
        }
    }

    fn upload(&self, body: &[u8]) -> Json {
        let find =
            |from: usize, what: &[u8]| from + body[from..].windows(what.len()).position(|at| at == what).unwrap();
        let name = find(0, b"filename=\"") + 10;
        let name = std::str::from_utf8(&body[name..find(name, b"\"")]).unwrap().to_owned();
        let content = find(find(0, b"filename="), b"\r\n\r\n") + 4;
        let boundary = &body[..find(0, b"\r\n")];
        let bytes = &body[content..find(content, &[b"\r\n", boundary].concat())];
        self.base.write(&format!("input/redraft/{name}"), bytes);
        json!({ "name": name, "subfolder": "redraft", "type": "input" })
    }

    /// What the nodes of a prompt show, by redraft.
    fn run(&self, prompt: &Json) -> Json {
        let file = self.base.write_json("prompt.json", prompt);
        let done = self.base.run(&file).arg("--json").finish().expect_code(0);
        let shown = done.events_of("executed").into_iter();
        Json::Object(shown.map(|data| (data["node"].as_str().unwrap().to_owned(), data["output"].clone())).collect())
    }

    fn tell(&self, stream: TcpStream) {
        let mut socket = tungstenite::accept(stream).unwrap();
        let mut tell = |kind: &str, data: Json| {
            let _ = socket.send(Message::text(json!({ "type": kind, "data": data }).to_string()));
        };
        tell("status", json!({}));
        let Some(waiting) = self.waiting.lock().unwrap().take() else { return };
        let Ok(run) = waiting.recv() else { return };
        tell("execution_success", json!({ "prompt_id": "of another" }));
        match self.manner {
            Manner::HangsUp => {}
            Manner::Fails => tell(
                "execution_error",
                json!({ "prompt_id": run, "node_id": "3", "node_type": "ImageBlend", "exception_type": "ValueError",
                    "exception_message": "no\u{7} such mode\n" }),
            ),
            _ => {
                tell("executing", json!({ "prompt_id": run, "node": "1" }));
                tell("execution_success", json!({ "prompt_id": run }));
            }
        }
        *self.waiting.lock().unwrap() = Some(waiting);
    }
}

/// A chain of pictures with a latent and a mask in it, saved at the end.
fn workflow() -> Json {
    json!({
        "1": { "class_type": "LoadImage", "inputs": { "image": "draft.png" } },
        "2": { "class_type": "ImageInvert", "inputs": { "image": ["1", 0] } },
        "3": { "class_type": "ImageBlur", "inputs": { "image": ["2", 0], "blur_radius": 2, "sigma": 1.0 } },
        "4": { "class_type": "ImageToMask", "inputs": { "image": ["3", 0], "channel": "red" } },
        "5": { "class_type": "InvertMask", "inputs": { "mask": ["4", 0] } },
        "6": { "class_type": "MaskToImage", "inputs": { "mask": ["5", 0] } },
        "7": { "class_type": "ImageBlend", "inputs": { "image1": ["6", 0], "image2": ["1", 0], "blend_factor": 0.5, "blend_mode": "normal" } },
        "9": { "class_type": "SaveImage", "inputs": { "images": ["7", 0], "filename_prefix": "x" } },
    })
}

fn against(address: &str) -> (Base, Redraft) {
    let base = Base::new();
    let file: PathBuf = base.write_json("workflow.json", &workflow());
    let command =
        Redraft::new().arg("diff").arg(file).arg("--against").arg(address).arg("--base-directory").arg(base.root());
    (base, command.args(["--device", "cpu"]))
}

#[test]
fn equal_pictures_are_equal() {
    let (server, address) = Server::start(Manner::Runs(|_| ()));
    let (base, command) = against(&address);
    let done = command.finish().expect_code(0);
    assert_eq!(done.stdout, "node 9 (SaveImage), picture 1: equal\n");
    let prompts = server.prompts.lock().unwrap();
    let image = prompts[0]["1"]["inputs"]["image"].as_str().unwrap();
    assert!(image.starts_with("redraft/") && image.ends_with(".png"), "{image}");
    assert_eq!(base.outputs(), [""; 0]);
}

#[test]
fn the_first_node_that_parts_is_found() {
    let changes: [(Change, &str); 3] = [
        (|prompt| prompt["3"]["inputs"]["sigma"] = json!(4.0), "node 3 (ImageBlur) is the first that parts (IMAGE)"),
        (
            |prompt| prompt["4"]["inputs"]["channel"] = json!("blue"),
            "node 4 (ImageToMask) is the first that parts (MASK)",
        ),
        (|prompt| prompt["7"]["inputs"]["blend_factor"] = json!(0.75), "node 7 (ImageBlend) is the first that parts"),
    ];
    for (change, words) in changes {
        let (server, address) = Server::start(Manner::Runs(change));
        let done = against(&address).1.finish().expect_code(1);
        assert!(
            done.stdout.contains("node 9 (SaveImage), picture 1: differs: the largest difference is "),
            "{}",
            done.stdout
        );
        assert!(done.stderr.contains(words), "{}", done.stderr);
        assert!(server.prompts.lock().unwrap().len() <= 5);
    }
    // Within the tolerance is near enough.
    let (_server, address) = Server::start(Manner::Runs(|prompt| prompt["7"]["inputs"]["blend_factor"] = json!(0.502)));
    let done = against(&address).1.args(["--tolerance", "0.016"]).finish().expect_code(0);
    assert!(done.stdout.contains("picture 1: within the tolerance: the largest difference is "), "{}", done.stdout);
}

#[test]
fn what_a_server_says_is_shown() {
    for (manner, code, words) in [
        (Manner::Refuses, 2, "node 4 (CheckpointLoaderSimple): Value not in list: ckpt_name: 'x\\u{1b}[2J' not in []"),
        (Manner::Fails, 1, "node 3 (ImageBlend) fails there: ValueError: no\\u{7} such mode"),
        (Manner::IsNoComfy, 3, "answers with something that is no JSON (status 200 OK); is it a ComfyUI?"),
        (Manner::HangsUp, 3, "before the run was over"),
    ] {
        let (_server, address) = Server::start(manner);
        let done = against(&address).1.finish().expect_code(code);
        assert!(done.stderr.contains(words), "{manner:?}: {}", done.stderr);
    }
    // A port where nobody listens any more.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let done = against(&format!("http://{gone}")).1.finish().expect_code(3);
    assert!(done.stderr.contains("cannot be reached"), "{}", done.stderr);
    let done = against("file:///etc/passwd").1.finish().expect_code(2);
    assert!(done.stderr.contains("is no address of a ComfyUI; write http://HOST:8188"), "{}", done.stderr);
}

#[test]
fn files_are_counted_before_they_are_fetched_and_in_time() {
    let (server, address) = Server::start(Manner::Floods);
    let done = against(&address).1.finish().expect_code(1);
    assert!(done.stdout.contains("all: differs: 1 things are shown here, 20000 there"), "{}", done.stdout);
    assert_eq!(server.views.load(Ordering::Relaxed), 0);
    let (_server, address) = Server::start(Manner::Dawdles);
    let start = Instant::now();
    let done = against(&address).1.args(["--timeout", "2"]).finish().expect_code(3);
    assert!(done.stderr.contains("is not done after 2 s; give it longer with --timeout"), "{}", done.stderr);
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}
