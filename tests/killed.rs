//! Runs that save pictures and are ended from outside, at any moment: no half file, and no temporary file after the next run.

#![allow(clippy::unwrap_used)]
#![cfg(unix)]

mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use common::Base;
use serde_json::{Map, json};

/// Ten pictures of noise, each its own file.
fn prompt() -> serde_json::Value {
    let mut nodes = Map::new();
    let empty = json!({ "width": 256, "height": 256, "batch_size": 1, "color": 255 });
    nodes.insert("0".to_owned(), json!({ "class_type": "EmptyImage", "inputs": empty }));
    for n in 1..=10 {
        let noise = json!({ "image": ["0", 0], "seed": n, "strength": 0.5 });
        nodes.insert(format!("noise{n}"), json!({ "class_type": "ImageAddNoise", "inputs": noise }));
        let save = json!({ "images": [format!("noise{n}"), 0], "filename_prefix": format!("p{}/x", n % 2) });
        nodes.insert(format!("save{n}"), json!({ "class_type": "SaveImage", "inputs": save }));
    }
    nodes.into()
}

/// The pictures that stand, all of them whole, and the temporary files.
fn outputs(base: &Base) -> (usize, Vec<String>) {
    let (strays, pictures): (Vec<_>, Vec<_>) = base.outputs().into_iter().partition(|name| !name.ends_with(".png"));
    for name in &pictures {
        let picture = image::open(base.path("output").join(name));
        assert!(picture.is_ok(), "{name} is half a picture: {picture:?}");
    }
    (pictures.len(), strays)
}

fn send(signal: &str, id: u32) {
    // The process may have ended by itself.
    let _ = Command::new("kill").args([signal, &id.to_string()]).stderr(std::process::Stdio::null()).status();
}

#[test]
fn a_hundred_runs_that_are_ended_leave_nothing_half() {
    let base = Base::new();
    let file = base.write_json("workflow.json", &prompt());
    let timed = |_| {
        let started = Instant::now();
        base.run(&file).finish().expect_code(0);
        started.elapsed()
    };
    // The shortest of some: the first reads the program from the disk.
    let whole = (0..4).map(timed).min().unwrap();
    let mut state = 1_u64;
    let mut killed = 0;
    for n in 0..100 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let signal = if n % 2 == 0 { "-KILL" } else { "-INT" };
        let mut running = base.run(&file).into_command().spawn().unwrap();
        // Anywhere in a run, and a little behind its end.
        std::thread::sleep(Duration::from_micros((state >> 33) % (whole.as_micros() as u64 * 11 / 10)));
        send(signal, running.id());
        let status = running.wait().unwrap();
        killed += usize::from(!status.success());
        let (_, strays) = outputs(&base);
        // What was interrupted cleans up behind itself; what was killed cannot.
        assert!(strays.len() <= 1 + n / 2, "{strays:?}");
        if signal == "-INT" {
            assert!(matches!(status.code(), None | Some(0 | 130)), "{status:?}");
        }
    }
    assert!(killed > 20, "only {killed} of 100 runs were caught under way");
    base.run(&file).finish().expect_code(0);
    let (pictures, strays) = outputs(&base);
    assert_eq!(strays, [""; 0]);
    assert!(pictures >= 20);
}

/// SIGINT and SIGTERM end a node within a second or so, whatever it does: here a mask that grows for minutes.
#[test]
fn number_22_a_signal_ends_every_node() {
    let base = Base::new();
    let grow = json!({
        "mask": { "class_type": "SolidMask", "inputs": { "value": 0.5, "width": 4096, "height": 4096 } },
        "grow": { "class_type": "GrowMask", "inputs": { "mask": ["mask", 0], "expand": 8000, "tapered_corners": true } },
        "show": { "class_type": "MaskPreview", "inputs": { "mask": ["grow", 0] } },
    });
    let file = base.write_json("workflow.json", &grow);
    for signal in ["-INT", "-TERM"] {
        let mut child = base.run(&file).arg("--json").into_command().spawn().unwrap();
        let mut lines =
            std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap())).map(Result::unwrap);
        assert!(lines.any(|line| line.contains("\"executing\"") && line.contains("GrowMask")));
        send(signal, child.id());
        let told = Instant::now();
        let rest: Vec<String> = lines.collect();
        let status = child.wait().unwrap();
        // On a machine that has nothing else to do it is 0.7 s; a busy one may take longer to notice.
        assert!(told.elapsed() < Duration::from_secs(20), "{:?}", told.elapsed());
        assert_eq!(status.code(), Some(130), "{rest:?}");
        let events: Vec<serde_json::Value> = rest.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [.., interrupted, end] = events.as_slice() else { panic!("{rest:?}") };
        let told = (&interrupted["type"], &interrupted["data"]["node_id"], &end["type"]);
        assert_eq!(told, (&json!("execution_interrupted"), &json!("grow"), &json!("workflow_end")));
    }
}
